"""An inference response of the Open Inference Protocol over HTTP: JSON, with binary tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from rayml.serve.http.messages import Response
from rayml.serve.tensors.infer_request import InferRequest
from rayml.serve.tensors.tensors import Tensor

_OCTETS = b"application/octet-stream"


def infer_response(
    request: InferRequest, tensors: Sequence[Tensor], *, name: str, version: str
) -> Response:
    """Answer a request.

    Args:
        request: the request, which says which outputs are binary tensors.
        tensors: the outputs.
        name: name of the model.
        version: version of the model.
    """
    binary: list[bytes] = []
    outputs = [_output(tensor, request, binary) for tensor in tensors]
    content: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if request.id is not None:
        content["id"] = request.id
    head = to_json(content)
    if not binary:
        return Response(200, head)
    # In the protocol's own case, since some clients compare header names with their case.
    headers = ((b"Inference-Header-Content-Length", b"%d" % len(head)),)
    return Response(200, b"".join([head, *binary]), _OCTETS, headers)


def _output(tensor: Tensor, request: InferRequest, binary: list[bytes]) -> dict[str, Any]:
    output: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
    }
    if request.is_binary(tensor.name):
        raw = tensor.to_bytes()
        binary.append(raw)
        return output | {"parameters": {"binary_data_size": len(raw)}}
    return output | {"data": tensor.to_list()}
