"""Rows as Arrow IPC, for bulk: reads a stream or a file, and writes a stream on request.

Columns are those of the signature, in any order; one that is left out is missing, as a null is.
`rayml.data.rows.strictness` defines which types and values a column takes; texts that mean a
missing value in the training rows do so here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.rows.strictness import TYPES, VALUES, admits, read
from rayml.errors import RequestError
from rayml.registry.bundle.signature import Signature
from rayml.serve.predict.answer import GROUP, Estimate
from rayml.serve.predict.odd_values import WARNINGS, as_maps
from rayml.serve.tensors.arrow_messages import check_messages
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.serve.tensors.tensors import Chosen

STREAM = b"application/vnd.apache.arrow.stream"
FILE = b"application/vnd.apache.arrow.file"

_MAGIC = b"ARROW1\0\0"


class ArrowParser:
    """Parses Arrow bodies for one signature.

    Args:
        signature: signature of the bundle.
        max_rows: most rows of a request.
        max_bytes: most bytes of the values of a column, once its dictionary is decoded.
    """

    def __init__(self, signature: Signature, *, max_rows: int, max_bytes: int) -> None:
        self._columns = {column.name: column for column in signature.inputs}
        self._schema = pa.schema(list(signature.struct()))
        self._missing = signature.missing
        self._max_rows = max_rows
        self._max_bytes = max_bytes

    def parse(self, body: bytes) -> pa.Table:
        """Parse one body to a raw table of natural types, of at least one row.

        Raises:
            RequestError: 400 if it is no Arrow IPC, 413 if it is too large, 415 if its buffers are
                compressed, 422 if a column or a value does not fit the signature.
        """
        table = self._read(body)
        arrays = [
            self._values(field.name, table.column(field.name))
            if field.name in table.column_names
            else pa.nulls(table.num_rows, field.type)
            for field in self._schema
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _read(self, body: bytes) -> pa.Table:
        try:
            reader = _open(body)
            self._check_schema(reader.schema)
            return self._batches(reader)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RequestError(
                f"the body is no sound Arrow IPC stream or file ({error})"[:500], status=400
            ) from None

    def _batches(self, reader: pa.RecordBatchReader) -> pa.Table:
        batches, rows = [], 0
        for batch in reader:
            rows += batch.num_rows
            if rows > self._max_rows:
                raise RequestError(
                    f"the request has more than {self._max_rows} rows",
                    status=413,
                    remedy="Send them in several requests",
                )
            # Arrow does not check offsets, indices and text; wrong ones would read other memory.
            batch.validate(full=True)
            batches.append(batch)
        if not rows:
            raise RequestError("the request has no row", status=422)
        return pa.Table.from_batches(batches)

    def _check_schema(self, schema: pa.Schema) -> None:
        names = schema.names
        unknown = next((name for name in names if name not in self._columns), None)
        if unknown is not None:
            near = did_you_mean(unknown, list(self._columns))
            raise RequestError(
                "unknown column",
                status=422,
                found=unknown,
                remedy=f"{near}The columns are: {listed(list(self._columns))}",
                column=unknown,
            )
        if not names:
            raise RequestError("the request has no column", status=422)
        if len(set(names)) != len(names):
            raise RequestError("the request names a column twice", status=422, found=names[:20])
        for field in schema:
            kind = self._columns[field.name].kind
            if not _is_plain(field.type) or not admits(field.type, kind):
                raise RequestError(
                    f"column {field.name!r} is of type {field.type}; the {kind} column takes"
                    f" {TYPES[kind]}",
                    status=422,
                    column=field.name,
                )

    def _values(self, name: str, column: pa.ChunkedArray) -> pa.Array:
        if sum(map(_decoded_bytes, column.chunks)) > self._max_bytes:
            raise RequestError(
                f"the values of column {name!r} have more than {self._max_bytes} bytes",
                status=413,
                remedy="Send the rows in several requests",
                column=name,
            )
        kind = self._columns[name].kind
        # Categories look up their own tokens.
        parsed, misfit = read(column, kind, () if kind == "categorical" else self._missing)
        if misfit.any():
            row = int(np.argmax(misfit))
            raise RequestError(
                f"row {row}, column {name!r}: the value is not {VALUES[kind]}",
                status=422,
                found=_value(column[row]),
                row=row,
                column=name,
            )
        return parsed


def first_row(body: bytes, name: str) -> pa.Array | None:
    """The first value of a column, as an array of one; None where there is none.

    Raises:
        RequestError, ArrowException, OSError: the body is not sound up to that value.
    """
    for batch in _open(body):
        if batch.num_rows and name in batch.schema.names:
            row = batch.slice(0, 1)
            row.validate(full=True)
            return row.column(name)
    return None


def _open(body: bytes) -> pa.RecordBatchReader:
    # A file is a stream between a magic number and a footer, which is only an index.
    start = len(_MAGIC) if body.startswith(_MAGIC) else 0
    stream = pa.py_buffer(body).slice(start)
    check_messages(stream)
    return pa.ipc.open_stream(stream)


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a time beyond Python's dates
        return scalar.cast(pa.int64()).as_py()


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a type is neither nested nor of an extension; dictionaries are of texts alone."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    plain = (
        *(_is_text, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean),
        *(pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null),
    )
    return any(is_one(kind) for is_one in plain)


def _is_text(kind: pa.DataType) -> bool:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_text(kind) for is_text in texts)


def _decoded_bytes(values: pa.Array) -> int:
    """Decoded bytes of texts that rows may share; the body bounds the bytes of all others."""
    if pa.types.is_dictionary(values.type):
        lengths = _lengths(values.dictionary)
        places = values.indices.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
        return int(lengths[places].sum())
    return int(_lengths(values).sum()) if pa.types.is_string_view(values.type) else 0


def _lengths(texts: pa.Array) -> Any:
    """Length of each text in bytes."""
    if pa.types.is_string_view(texts.type):
        views = texts.buffers()[1]
        lengths = np.frombuffer(views, dtype="<i4")[::4] if views else np.zeros(0, np.int32)
        return lengths[texts.offset : texts.offset + len(texts)].astype(np.int64)
    return pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def write_answers(estimate: Estimate, outputs: OutputTensors) -> bytes:
    """Write the answers of `/predict` as an Arrow IPC stream, a column for each of their keys.

    A label has the type of the classes, and what has a number for each class is a struct.
    `warnings` is a map from column to what is odd, null where nothing is; the column is always
    present, so that all answers have one schema. A set is a struct too, of truth values.

    Raises:
        ServeError: a prediction is not finite.
    """
    columns: dict[str, pa.Array] = {}
    names = (*outputs.names, *(outputs.regions if estimate.region is not None else ()))
    for tensor in outputs.tensors(estimate, names):
        if tensor.name == GROUP:
            texts = pa.array(tensor.to_list(), pa.string())
            columns[GROUP] = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
        elif isinstance(tensor.data, Chosen):
            labels = pa.array(list(outputs.classes))
            columns[tensor.name] = labels.take(pa.array(tensor.data.codes))
        elif parts_of := outputs.columns(tensor.name):
            parts = np.ascontiguousarray(tensor.numbers.reshape(tensor.shape).T)
            columns[tensor.name] = pa.StructArray.from_arrays(
                list(map(pa.array, parts)), list(parts_of)
            )
        else:
            columns[tensor.name] = pa.array(tensor.numbers)
    if outputs.warns:
        columns[WARNINGS] = as_maps(estimate.odd, len(estimate.prediction))
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
