"""An inference request of the Open Inference Protocol over HTTP: JSON, with binary tensors.

The body is a JSON object. With the binary tensor data extension, the bytes of tensors follow it,
in the order of the inputs that name a `binary_data_size`; the header
`Inference-Header-Content-Length` then says how long the JSON is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from rayml.errors import RequestError
from rayml.serve.predict.regions import PARAMETER, read_level
from rayml.serve.predict.row_parser import refuse_repeated_keys
from rayml.serve.tensors.tensors import Tensor, tensor_from_bytes, tensor_from_values

LENGTH_HEADER = b"inference-header-content-length"

_NAME = re.compile(rb'"[ \t\r\n]*:')

# Extensions that change an output; ignoring one would give another answer than requested.
_REFUSED = ("classification", "shared_memory_region")


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request.

    Attributes:
        id: the answer repeats it; None where the request has none.
        inputs: the input tensors.
        outputs: names of the requested outputs; empty for all.
        binary: whether an output is answered as a binary tensor, by name.
        all_binary: the same for outputs that `binary` does not name.
        level: probability with which regions hold the truth; None where none are asked for.
    """

    id: str | None
    inputs: Sequence[Tensor]
    outputs: Sequence[str]
    binary: Mapping[str, bool]
    all_binary: bool
    level: float | None = None

    def is_binary(self, output: str) -> bool:
        """Whether an output is answered as a binary tensor."""
        return self.binary.get(output, self.all_binary)


def read_request(body: bytes, headers: Mapping[bytes, bytes]) -> InferRequest:
    """Read one request.

    Args:
        body: JSON and binary tensors.
        headers: values of the HTTP headers by name in lower case.

    Raises:
        RequestError: 400 if it does not follow the protocol, or a tensor is torn; 422 if its
            parameter `interval` is no probability.
    """
    view = memoryview(body)
    length = _json_length(headers, len(body))
    try:
        request = _REQUEST.validate_json(body if length == len(body) else bytes(view[:length]))
    except ValidationError as error:
        raise _refusal(error) from None
    _refuse_repeated_keys(body[:length], request)
    binary = _Binary(view[length:])
    inputs = [_tensor(each, binary) for each in request["inputs"]]
    binary.finish()
    outputs = request.get("outputs", [])
    parameters = request.get("parameters", {})
    return InferRequest(
        id=request.get("id"),
        inputs=inputs,
        outputs=[each["name"] for each in outputs],
        binary=dict(filter(None, map(_binary_output, outputs))),
        all_binary=_flag(parameters, "binary_data_output"),
        level=read_level(parameters[PARAMETER]) if PARAMETER in parameters else None,
    )


def _refuse_repeated_keys(text: bytes, request: Mapping[str, Any]) -> None:
    """Check that no object of the JSON names a key twice, as for `/predict`.

    Raises:
        RequestError: 400 if one does.
    """
    known = len(request)
    for part in (request, *request["inputs"], *request.get("outputs", ())):
        known += len(part.get("parameters", ()))
    known += sum(map(len, request["inputs"])) + sum(map(len, request.get("outputs", ())))
    # Each key has its own colon, so a repeated key leaves more colons than keys.
    if text.count(b":") != known and len(_NAME.findall(text)) != known:
        refuse_repeated_keys(text)


class _Binary:
    """The bytes behind the JSON, taken tensor by tensor."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, name: str, size: object) -> memoryview:
        if type(size) is not int or not 0 <= size <= len(self._data) - self._at:
            raise RequestError(
                f"the binary_data_size of input {name!r} is no size within the"
                f" {len(self._data) - self._at} bytes that are left in the body",
                status=400,
                found=size,
                remedy="Send Inference-Header-Content-Length, the length of the JSON",
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def finish(self) -> None:
        if self._at != len(self._data):
            raise RequestError(
                f"the binary_data_size of the inputs add up to {self._at} bytes, and"
                f" {len(self._data)} bytes follow the JSON",
                status=400,
            )


def _tensor(given: dict[str, Any], binary: _Binary) -> Tensor:
    name, parameters = given["name"], given.get("parameters", {})
    in_json, in_binary = "data" in given, "binary_data_size" in parameters
    if in_json == in_binary:
        has = "both data and" if in_json else "neither data nor"
        raise RequestError(f"input {name!r} has {has} the parameter binary_data_size", status=400)
    if in_json:
        return tensor_from_values(name, given["datatype"], given["shape"], given["data"])
    raw = binary.take(name, parameters["binary_data_size"])
    return tensor_from_bytes(name, given["datatype"], given["shape"], raw)


def _binary_output(output: dict[str, Any]) -> tuple[str, bool] | None:
    parameters = output.get("parameters", {})
    for name in _REFUSED:
        if parameters.get(name):
            raise RequestError(
                f"an output has the parameter {name!r}, whose extension is not served",
                status=400,
                remedy="Leave it out",
            )
    if "binary_data" not in parameters:
        return None
    return output["name"], _flag(parameters, "binary_data")


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"the parameter {name} is not true or false", status=400, found=value)
    return value


def _json_length(headers: Mapping[bytes, bytes], size: int) -> int:
    given = headers.get(LENGTH_HEADER)
    if given is None:
        return size
    if not given.isdigit() or int(given[:20]) > size:
        raise RequestError(
            f"Inference-Header-Content-Length is no number up to the body's {size} bytes",
            status=400,
            found=given.decode("latin-1"),
        )
    return int(given)


def _refusal(error: ValidationError) -> RequestError:
    problem = error.errors(include_url=False)[0]
    if problem["type"] == "json_invalid":
        reason = problem["msg"].removeprefix("Invalid JSON: ")
        return RequestError(f"the request is not JSON ({reason})", status=400)
    place = ".".join(map(str, problem["loc"])) or "the body"
    return RequestError(
        f"the request does not follow the Open Inference Protocol v2 ({place}: {problem['msg']})",
        status=400,
        found=problem["input"],
    )


def _object(**fields: tuple[core_schema.CoreSchema, bool]) -> core_schema.CoreSchema:
    """Schema of an object: each field with whether it is required; other fields are ignored."""
    return core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(schema, required=required)
            for name, (schema, required) in fields.items()
        },
        extra_behavior="ignore",
    )


_TEXT = core_schema.str_schema(strict=True)
_PARAMETERS = core_schema.dict_schema(_TEXT)
_INPUT = _object(
    name=(_TEXT, True),
    datatype=(_TEXT, True),
    shape=(core_schema.list_schema(core_schema.int_schema(strict=True)), True),
    parameters=(_PARAMETERS, False),
    data=(core_schema.list_schema(core_schema.any_schema()), False),
)
_OUTPUT = _object(name=(_TEXT, True), parameters=(_PARAMETERS, False))
_REQUEST = SchemaValidator(
    _object(
        id=(_TEXT, False),
        parameters=(_PARAMETERS, False),
        inputs=(core_schema.list_schema(_INPUT, fail_fast=True), True),
        outputs=(core_schema.list_schema(_OUTPUT, fail_fast=True), False),
    )
)
