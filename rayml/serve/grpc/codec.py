"""From messages of the Open Inference Protocol over gRPC to tensors, and back.

A request's tensors are typed contents, or raw ones for all of its inputs; it is answered in the
same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from rayml.errors import RequestError
from rayml.serve.grpc.open_inference_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
)
from rayml.serve.predict.regions import PARAMETER, read_level
from rayml.serve.tensors.tensors import Tensor, tensor_from_bytes, tensor_from_values

FIELDS: Final[dict[str, str]] = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field of typed contents that holds each datatype; FP16 has none, and is raw only."""

# Extensions that change what a tensor is; to ignore them would answer something else.
_REFUSED = ("classification", "shared_memory_region")


def input_tensors(request: ModelInferRequest) -> list[Tensor]:
    """Read the inputs of a request.

    Raises:
        RequestError: 400 if contents are both typed and raw, absent, not of the datatype, or not
            as many as the shape has, or if a parameter names an extension that is not served.
    """
    for each in request.inputs:
        _refuse_extensions("input", each.parameters)
    raw = request.raw_input_contents
    if not raw:
        return [_typed(each) for each in request.inputs]
    if len(raw) != len(request.inputs):
        raise RequestError(
            f"{len(request.inputs)} inputs came with {len(raw)} raw_input_contents",
            status=400,
            remedy="Send one for each input, in their order",
        )
    for each in request.inputs:
        if each.HasField("contents"):
            raise RequestError(
                f"input {each.name!r} has typed contents, and there are raw_input_contents",
                status=400,
                remedy="Send all inputs in one of the two",
            )
    return [
        tensor_from_bytes(each.name, each.datatype, tuple(each.shape), data)
        for each, data in zip(request.inputs, raw, strict=True)
    ]


def output_names(request: ModelInferRequest) -> list[str]:
    """Names of the outputs that a request asks for; none asks for all.

    Raises:
        RequestError: 400 if a parameter names an extension that is not served.
    """
    for each in request.outputs:
        _refuse_extensions("output", each.parameters)
    return [each.name for each in request.outputs]


def asked_level(request: ModelInferRequest) -> float | None:
    """The probability with which regions hold the truth; None where none are asked for.

    Raises:
        RequestError: 422, the parameter is none.
    """
    if PARAMETER not in request.parameters:
        return None
    given = request.parameters[PARAMETER]
    kind = given.WhichOneof("parameter_choice")
    return read_level(None if kind is None else getattr(given, kind))


def infer_response(
    request: ModelInferRequest, tensors: Sequence[Tensor], *, name: str, version: str
) -> bytes:
    """Answer a request, serialized.

    Args:
        request: says whether contents are raw, and the id.
        tensors: the outputs.
        name: of the model.
        version: of the model.
    """
    response = ModelInferResponse(model_name=name, model_version=version, id=request.id)
    raw = bool(request.raw_input_contents)
    for tensor in tensors:
        output = response.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
        )
        if raw:
            response.raw_output_contents.append(tensor.to_bytes())
        else:
            getattr(output.contents, FIELDS[tensor.datatype]).extend(_values(tensor))
    serialized: bytes = response.SerializeToString()
    return serialized


def _typed(given: ModelInferRequest.InferInputTensor) -> Tensor:
    field = FIELDS.get(given.datatype)
    if field is None and given.datatype == "FP16":
        raise RequestError(
            f"input {given.name!r} of FP16 is not in raw_input_contents",
            status=400,
            remedy="Send it there; no typed contents hold FP16",
        )
    filled = [each.name for each, _ in given.contents.ListFields()]
    if field is not None and filled not in ([], [field]):
        raise RequestError(
            f"input {given.name!r} of {given.datatype} has its contents in {', '.join(filled)}",
            status=400,
            remedy=f"Send them in {field}",
        )
    values = list(getattr(given.contents, field)) if field is not None else []
    return tensor_from_values(given.name, given.datatype, tuple(given.shape), values)


def _values(tensor: Tensor) -> Sequence[Any]:
    if isinstance(tensor.data, np.ndarray):
        values: list[Any] = tensor.data.tolist()
        return values
    strings: list[bytes] = tensor.elements().fill_null(b"").to_pylist()
    return strings


def _refuse_extensions(what: str, parameters: Mapping[str, InferParameter]) -> None:
    if not parameters:
        return
    for name in _REFUSED:
        if name in parameters:
            raise RequestError(
                f"the parameter {name!r} of an {what} is of an extension that is not served",
                status=400,
                remedy="Leave it out",
            )
