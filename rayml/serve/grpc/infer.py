"""The route that answers `ModelInfer`: an inference request as a message, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError

from rayml.errors import RequestError
from rayml.serve.grpc.codec import asked_level, infer_response, input_tensors, output_names
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.http.messages import Request, Response
from rayml.serve.model.served import ServedModel
from rayml.serve.model.tensor_model import LOOP_BYTES
from rayml.serve.tensors.tensors import Tensor

INFER_PATH: Final = "/inference.GRPCInferenceService/ModelInfer"
"""Path of the call, as gRPC itself has it; a version that a message names comes behind it."""

_PROTOBUF = b"application/x-protobuf"


async def grpc_infer(request: Request, model: ServedModel) -> Response:
    """Predict from the tensors of a message.

    Raises:
        RequestError: 404 for another model, 413 for too many rows or bytes, 400 for a request
            that does not fit the protocol or the model.
    """
    body = await request.body()
    call = request.attached if request.attached is not None else read_infer_request(body)
    if call.model_name != model.name:
        raise RequestError(
            f"no model {call.model_name!r} is served", status=404, remedy=f"Ask for {model.name!r}"
        )
    if len(body) > LOOP_BYTES:
        return await model.tensors.off_loop(lambda: _infer_now(call, request, model))
    outputs = await model.tensors.infer(
        _inputs(call, request), output_names(call), asked_level(call)
    )
    return _response(call, outputs, model)


def read_infer_request(body: bytes) -> ModelInferRequest:
    """Read a message.

    Raises:
        RequestError: 400 if the bytes are no such message.
    """
    try:
        request: ModelInferRequest = ModelInferRequest.FromString(body)
    except DecodeError as error:
        raise RequestError(f"the message is no ModelInferRequest ({error})", status=400) from None
    return request


def _infer_now(call: ModelInferRequest, request: Request, model: ServedModel) -> Response:
    outputs = model.tensors.infer_now(_inputs(call, request), output_names(call), asked_level(call))
    return _response(call, outputs, model)


def _inputs(call: ModelInferRequest, request: Request) -> Sequence[Tensor]:
    tensors = input_tensors(call)
    if tensors:
        request.has_rows(tensors[0].shape[0])
    return tensors


def _response(call: ModelInferRequest, outputs: Sequence[Tensor], model: ServedModel) -> Response:
    body = infer_response(call, outputs, name=model.name, version=model.version)
    return Response(200, body, _PROTOBUF)
