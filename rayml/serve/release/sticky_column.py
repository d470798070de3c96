"""The column that a canary's requests are drawn by, read from each form that a request may have.

The forms are rows and Arrow of `/predict`, and tensors of the Open Inference Protocol over REST, in
JSON or binary, and over gRPC. A request of many rows has the key of its first one. The same value
is the same key in all of them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic_core import from_json

from rayml.data.columns.kinds import parse
from rayml.errors import RequestError, SchemaError
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.grpc.codec import input_tensors
from rayml.serve.model.tensor_model import LOOP_BYTES
from rayml.serve.tensors.arrow import FILE, STREAM, first_row
from rayml.serve.tensors.infer_request import read_request
from rayml.serve.tensors.input_tensors import MATRIX, column_values
from rayml.serve.tensors.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rayml.serve.http.messages import Request


class StickyColumn:
    """Reads a column of the first row of a request.

    Args:
        name: of the column; one that the signature lacks is in no request.
        signature: of the model that requests are made for.
    """

    def __init__(self, name: str, signature: Signature) -> None:
        self._columns = [column.name for column in signature.inputs]
        self._column: InputColumn | None = None
        if name in self._columns:
            self._column = signature.inputs[self._columns.index(name)]
        known = self._column.categories if self._column is not None else ()
        self._missing = [token for token in signature.missing if token not in known]

    async def value(self, request: Request) -> bytes | None:
        """The value as text; None where it is missing, or the request cannot be read.

        Raises:
            RequestError: the body cannot be received.
        """
        column = self._column
        if column is None:
            return None
        body = await request.peek_body()
        if len(body) > LOOP_BYTES:
            return await asyncio.to_thread(self._read, column, body, request)
        return self._read(column, body, request)

    def _read(self, column: InputColumn, body: bytes, request: Request) -> bytes | None:
        try:
            values = self._first(column, body, request)
        except (RequestError, SchemaError, ValueError, OverflowError, OSError, pa.ArrowException):
            return None  # the error comes with its answer
        value = values[0].as_py() if values is not None and len(values) else None
        return None if value is None else _text(value)

    def _first(self, column: InputColumn, body: bytes, request: Request) -> pa.Array | None:
        """The value as an array of one element, of the natural type of its column."""
        if request.attached is not None:
            return self._of_tensors(column, input_tensors(request.attached))
        if "name" in request.parameters:
            return self._of_tensors(column, read_request(body, request.headers).inputs)
        if request.headers.get(b"content-type", b"").startswith((STREAM, FILE)):
            found = first_row(body, column.name)
        else:
            found = _of_rows(column, body)
        return None if found is None else parse(found, column.kind, self._missing)[0]

    def _of_tensors(self, column: InputColumn, tensors: Sequence[Tensor]) -> pa.Array | None:
        for tensor in tensors:
            place = 0
            if tensor.name == MATRIX and MATRIX not in self._columns:
                place = self._columns.index(column.name)
            elif tensor.name != column.name:
                continue
            data = tensor.elements() if tensor.datatype == "BYTES" else tensor.numbers
            one = Tensor(column.name, tensor.datatype, (1,), data[place : place + 1])
            values = column_values(one, column, self._missing)
            return parse(values, column.kind, self._missing)[0]
        return None


def _of_rows(column: InputColumn, body: bytes) -> pa.Array | None:
    content = from_json(body)
    if isinstance(content, dict) and isinstance(content.get("rows"), list):
        content = content["rows"]
    if isinstance(content, list):
        content = content[0] if content else None
    if not isinstance(content, dict) or not isinstance(
        content.get(column.name), str | int | float | bool
    ):
        return None
    return pa.array([content[column.name]])


def _text(value: Any) -> bytes:
    """A value of a natural type as text that no other value has."""
    match value:
        case bool():
            return b"true" if value else b"false"
        case float():
            return repr(value + 0.0).encode()  # zero has one sign
        case datetime():
            return value.isoformat().encode()
        case _:
            return str(value).encode()
