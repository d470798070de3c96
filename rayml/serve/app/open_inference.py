"""The Open Inference Protocol v2 over REST.

As KServe specifies it (https://github.com/kserve/open-inference-protocol), with the binary tensor
data extension.
"""

from __future__ import annotations

from rayml import __version__
from rayml.errors import RequestError
from rayml.serve.http.compression import compressed
from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel
from rayml.serve.model.tensor_model import LOOP_BINARY_BYTES, LOOP_BYTES
from rayml.serve.tensors.infer_request import LENGTH_HEADER, InferRequest, read_request
from rayml.serve.tensors.infer_response import infer_response
from rayml.serve.tensors.model_metadata import model_metadata

EXTENSIONS = ["binary_tensor_data"]

_SERVER = json_response({"name": "rayml", "version": __version__, "extensions": EXTENSIONS})
_LIVE = json_response({"live": True})
_READY = json_response({"ready": True})


async def server_metadata(_request: Request, _model: ServedModel) -> Response:
    """Describe the server."""
    return _SERVER


async def server_live(_request: Request, _model: ServedModel) -> Response:
    """Answer that the process is live."""
    return _LIVE


async def server_ready(_request: Request, _model: ServedModel) -> Response:
    """Answer that the models predict: an app without one does not exist."""
    return _READY


async def model_ready(request: Request, model: ServedModel) -> Response:
    """Answer that a model predicts.

    Raises:
        RequestError: 404 for another model.
    """
    _check_name(request, model)
    return json_response({"name": model.name, "ready": True})


async def described_model(request: Request, model: ServedModel) -> Response:
    """Describe a model: the versions that are ready, and the tensors of one of them.

    Raises:
        RequestError: 404 for another model.
    """
    _check_name(request, model)
    tensors = model.tensors
    return json_response(
        model_metadata(model.name, request.versions, tensors.inputs, tensors.outputs)
    )


async def infer(request: Request, model: ServedModel) -> Response:
    """Predict from tensors.

    Raises:
        RequestError: 404 for another model, 413 for too many rows or bytes, 400 for a request
            that does not fit the protocol or the model.
    """
    _check_name(request, model)
    body = await request.body()
    limit = LOOP_BINARY_BYTES if LENGTH_HEADER in request.headers else LOOP_BYTES
    if len(body) > limit:
        return await model.tensors.off_loop(lambda: _infer_now(body, request, model))
    call = _read(body, request)
    outputs = await model.tensors.infer(call.inputs, call.outputs, call.level)
    response = infer_response(call, outputs, name=model.name, version=model.version)
    return compressed(response, request.headers)


def _infer_now(body: bytes, request: Request, model: ServedModel) -> Response:
    call = _read(body, request)
    outputs = model.tensors.infer_now(call.inputs, call.outputs, call.level)
    response = infer_response(call, outputs, name=model.name, version=model.version)
    return compressed(response, request.headers)


def _read(body: bytes, request: Request) -> InferRequest:
    call = read_request(body, request.headers)
    if call.inputs:
        request.has_rows(call.inputs[0].shape[0])
    return call


def _check_name(request: Request, model: ServedModel) -> None:
    name = request.parameters["name"]
    if name != model.name:
        raise RequestError(
            f"no model {name!r} is served", status=404, remedy=f"Ask for {model.name!r}"
        )
