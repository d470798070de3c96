"""Turns input tensors into a raw table.

Inputs are one tensor a feature column, of shape [n] or [n, 1]; columns that are left out are
missing. Each kind of column takes:

- numeric: FP64, any other FP, INT or UINT; NaN is missing.
- categorical: BYTES in UTF-8, or INT, UINT or FP; NaN is missing, and so is an empty element,
  unless the empty string is a category. A whole number is the category of its decimal digits; other
  numbers are an error. Texts that mean a missing value in the training rows do so here and in a
  timestamp.
- boolean: BOOL; or FP, INT or UINT of 0 and 1, where NaN is missing.
- text: BYTES in UTF-8; an empty element is missing, and so is a text that means a missing value.
- timestamp: BYTES of ISO 8601, UTC without an offset; an empty element is missing.

A model whose columns are all numeric also takes a single tensor `matrix` instead, FP64 or FP32 of
shape [n, columns], in the columns' order. The same values give the same features, to the bit, as
the JSON rows of `/predict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.rows.strictness import read
from rayml.errors import RequestError
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.tensors.tensors import Tensor, text
from rayml.types import Kind

MATRIX = "matrix"
"""Name of the input that holds all columns of a model whose columns are all numeric."""

_DATATYPES: dict[Kind, str] = {
    "numeric": "FP64",
    "categorical": "BYTES",
    "boolean": "BOOL",
    "timestamp": "BYTES",
    "text": "BYTES",
}


class InputTensors:
    """The input tensors of a signature.

    Args:
        signature: signature of the bundle.
        max_rows: most rows of a request.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._columns = {column.name: column for column in signature.inputs}
        self._schema = pa.schema(list(signature.struct()))
        self._missing = signature.missing
        self._max_rows = max_rows
        numeric = all(column.kind == "numeric" for column in signature.inputs)
        self.has_matrix = numeric and MATRIX not in self._columns

    def metadata(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each, as the protocol describes tensors."""
        return [
            {"name": column.name, "datatype": _DATATYPES[column.kind], "shape": [-1]}
            for column in self._columns.values()
        ]

    def table(self, tensors: Sequence[Tensor]) -> pa.Table:
        """Make a raw table of natural types, which the preprocessor takes; at least one row.

        Raises:
            RequestError: 400 if a tensor is unknown or named twice, or its datatype, shape or
                values do not fit its column; 413 for too many rows.
        """
        if self.is_matrix(tensors):
            columns = np.ascontiguousarray(self.matrix(tensors[0]).T)
            arrays = [pa.array(values) for values in columns]
            return pa.Table.from_arrays(arrays, schema=self._schema)
        given, rows = self.columns(tensors)
        return self.read(list(self._columns), given, rows)

    def read(self, names: Sequence[str], given: Mapping[str, Tensor], rows: int) -> pa.Table:
        """Make a raw table of the named columns; one without a tensor is missing.

        Raises:
            RequestError: 400 if the datatype or a value of a tensor does not fit its column.
        """
        arrays = [
            column_values(given[name], self._columns[name], self._missing)
            if name in given
            else pa.nulls(rows, self._schema.field(name).type)
            for name in names
        ]
        return pa.Table.from_arrays(arrays, names=list(names))

    def columns(self, tensors: Sequence[Tensor]) -> tuple[dict[str, Tensor], int]:
        """The tensors by the names of their columns, and the number of rows, at least one.

        Raises:
            RequestError: 400 if a tensor is unknown or named twice, or its shape does not fit;
                413 for too many rows.
        """
        given = self._by_name(tensors)
        return given, self._rows(given)

    def _by_name(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        given = {tensor.name: tensor for tensor in tensors}
        unknown = [name for name in given if name not in self._columns]
        if unknown:
            raise self._unknown(unknown[0])
        if not given:
            raise RequestError("the request has no input", status=400)
        if len(given) != len(tensors):
            raise RequestError(
                "the request names an input twice",
                status=400,
                found=[tensor.name for tensor in tensors[:20]],
            )
        return given

    def _unknown(self, name: str) -> RequestError:
        if self.has_matrix and name == MATRIX:
            return RequestError(
                f"the request has other inputs beside {MATRIX!r}, which holds all columns",
                status=400,
                remedy="Leave the others out",
            )
        known = [*self._columns, *([MATRIX] if self.has_matrix else [])]
        return RequestError(
            "unknown input",
            status=400,
            found=name,
            remedy=f"{did_you_mean(name, known)}The inputs are: {listed(known)}",
        )

    def _rows(self, given: dict[str, Tensor]) -> int:
        rows = next(iter(given.values())).shape[0]
        for tensor in given.values():
            if tensor.shape not in ((rows,), (rows, 1)):
                raise RequestError(
                    f"the shape of input {tensor.name!r} is neither [n] nor [n, 1] with the same n"
                    " for all inputs",
                    status=400,
                    found=list(tensor.shape),
                    column=tensor.name,
                )
        return self._admitted(rows)

    def is_matrix(self, tensors: Sequence[Tensor]) -> bool:
        """Whether all columns come as one tensor."""
        return self.has_matrix and [tensor.name for tensor in tensors] == [MATRIX]

    def matrix(self, tensor: Tensor) -> npt.NDArray[np.float64]:
        """The values of all columns, [rows, columns]; NaN is missing.

        Raises:
            RequestError: 400 if it does not fit, 413 for too many rows.
        """
        count = len(self._columns)
        if tensor.datatype not in {"FP64", "FP32"}:
            raise RequestError(
                f"the datatype of input {MATRIX!r} is neither FP64 nor FP32",
                status=400,
                found=tensor.datatype,
            )
        if len(tensor.shape) != 2 or tensor.shape[1] != count:
            raise RequestError(
                f"the shape of input {MATRIX!r} is not [n, {count}], for {count} columns",
                status=400,
                found=list(tensor.shape),
            )
        rows = self._admitted(tensor.shape[0])
        values = tensor.numbers.reshape(rows, count).astype(np.float64, copy=False)
        refuse_infinite(list(self._columns), values.T)
        return values

    def _admitted(self, rows: int) -> int:
        if rows > self._max_rows:
            raise RequestError(
                f"the request has more than {self._max_rows} rows",
                status=413,
                found=rows,
                remedy="Send them in several requests",
            )
        if not rows:
            raise RequestError("the request has no row", status=400)
        return rows


def column_values(tensor: Tensor, column: InputColumn, missing: Sequence[str] = ()) -> pa.Array:
    """The values of a column in its natural type.

    Args:
        tensor: values of the column.
        column: the column of the signature.
        missing: texts that mean a missing time; categories look up their own.

    Raises:
        RequestError: 400 if the datatype or a value does not fit the column.
    """
    group = tensor.datatype.rstrip("0123456789")
    match column.kind, group:
        case "numeric", "FP" | "INT" | "UINT":
            values = tensor.numbers.astype(np.float64, copy=False)
            refuse_infinite([column.name], values[None])
            return pa.array(values)
        case (("categorical" | "text"), "BYTES"):
            strings = text(tensor)
            return strings if "" in column.categories else _empty_as_null(strings)
        case "categorical", "INT" | "UINT":
            return pa.array(tensor.numbers).cast(pa.string())
        case "boolean", "BOOL":
            return pa.array(tensor.numbers)
        case ("boolean", "FP" | "INT" | "UINT") | ("categorical", "FP"):
            return _parsed(column, pa.array(tensor.numbers.astype(np.float64, copy=False)))
        case "timestamp", "BYTES":
            return _parsed(column, _empty_as_null(text(tensor)), missing)
    raise RequestError(
        f"the datatype of the {column.kind} input {column.name!r} is not {_TAKEN[column.kind]}",
        status=400,
        found=tensor.datatype,
        column=column.name,
    )


_TAKEN: dict[Kind, str] = {
    "numeric": "FP64, or another FP, INT or UINT",
    "categorical": "BYTES, or INT, UINT or FP",
    "boolean": "BOOL, or FP, INT or UINT of 0 and 1",
    "timestamp": "BYTES",
    "text": "BYTES",
}
_VALUES: dict[Kind, str] = {
    "numeric": "a finite number, or NaN where it is missing",
    "categorical": "a string or a whole number",
    "boolean": "0 or 1, or NaN where it is missing",
    "timestamp": "a time as ISO 8601, such as 2024-05-17T08:30:00Z, or empty where it is missing",
    "text": "a string",
}


def _parsed(column: InputColumn, values: pa.Array, missing: Sequence[str] = ()) -> pa.Array:
    parsed, misfit = read(values, column.kind, missing)
    if misfit.any():
        row = int(np.argmax(misfit))
        raise _misfit(column.name, column.kind, row, values[row].as_py())
    return parsed


def _empty_as_null(strings: pa.StringArray) -> pa.StringArray:
    present = pc.not_equal(strings, "")
    return strings if pc.all(present).as_py() else pc.if_else(present, strings, None)


def refuse_infinite(names: Sequence[str], values: npt.NDArray[np.float64]) -> None:
    """Check that no number is infinite.

    Args:
        names: names of the columns.
        values: numbers, [columns, rows].

    Raises:
        RequestError: 400 if one is infinite.
    """
    infinite = np.isinf(values)
    if infinite.any():
        column, row = map(int, np.argwhere(infinite)[0])
        raise _misfit(names[column], "numeric", row, float(values[column, row]))


def _misfit(name: str, kind: Kind, row: int, value: object) -> RequestError:
    return RequestError(
        f"row {row}, input {name!r}: the value is not {_VALUES[kind]}",
        status=400,
        found=value,
        row=row,
        column=name,
    )
