"""From input tensors to a raw table, and from predictions to output tensors.

Inputs are one tensor a feature column, of shape [n] or [n, 1]; columns that are left out are
missing. What a column takes, and how a missing value in it is written:

- numeric: FP64, any other FP, INT or UINT; NaN is missing.
- categorical: BYTES in UTF-8, or INT, UINT or FP; an empty element is missing, unless training saw
  the empty string as a category, and so is NaN. A whole number is the category of its decimal
  digits, others are none. Texts that are missing values in the source of the training rows are so
  here, as in a timestamp.
- boolean: BOOL; or FP, INT or UINT of 0 and 1, where NaN is missing.
- timestamp: BYTES of ISO 8601, UTC without an offset; an empty element is missing.

A model whose columns are all numeric also takes a single tensor `matrix` instead, FP64 or FP32 of
shape [n, columns], in the columns' order. The same values give the same features, to the bit, as
in the JSON rows of `/predict`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.rows.strictness import read
from rayml.errors import RequestError
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.predict.answer import Estimate, class_key, require_finite
from rayml.serve.predict.odd_values import WARNINGS, as_texts
from rayml.serve.tensors.tensors import Chosen, Labels, Tensor, text
from rayml.types import ClassLabel, Kind, TargetInfo

PLATFORM = "rayml_bundle"
"""Names the project and format of a served model, `<project>_<format>` as the protocol has it."""

MATRIX = "matrix"
"""Name of the input that holds all columns of a model whose columns are all numeric."""

_DATATYPES: dict[Kind, str] = {
    "numeric": "FP64",
    "categorical": "BYTES",
    "boolean": "BOOL",
    "timestamp": "BYTES",
}


class InputTensors:
    """The input tensors of a signature.

    Args:
        signature: of the bundle.
        max_rows: rows of a request at most.
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
            known = [*self._columns, *([MATRIX] if self.has_matrix else [])]
            raise RequestError(
                "an input is a column of the model"
                + (f", or {MATRIX!r} alone" if self.has_matrix else ""),
                status=400,
                found=unknown[0],
                remedy=f"{did_you_mean(unknown[0], known)}They are: {listed(known)}",
            )
        if not given or len(given) != len(tensors):
            raise RequestError(
                "a request has at least one input, and names each once",
                status=400,
                found=[tensor.name for tensor in tensors[:20]],
            )
        return given

    def _rows(self, given: dict[str, Tensor]) -> int:
        rows = next(iter(given.values())).shape[0]
        for tensor in given.values():
            if tensor.shape not in ((rows,), (rows, 1)):
                raise RequestError(
                    f"the shape of input {tensor.name!r} is [n] or [n, 1], with the same n"
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
                f"the datatype of input {MATRIX!r} is FP64 or FP32",
                status=400,
                found=tensor.datatype,
            )
        if len(tensor.shape) != 2 or tensor.shape[1] != count:
            raise RequestError(
                f"the shape of input {MATRIX!r} is [n, {count}], a column for each of the model",
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
                f"a request has at most {self._max_rows} rows",
                status=413,
                found=rows,
                remedy="Send them in several requests",
            )
        if not rows:
            raise RequestError("a request has at least one row", status=400, found=rows)
        return rows


def column_values(tensor: Tensor, column: InputColumn, missing: Sequence[str] = ()) -> pa.Array:
    """The values of a column in its natural type.

    Args:
        tensor: of the column.
        column: of the signature.
        missing: texts that say that a time is missing; categories are looked up with their own.

    Raises:
        RequestError: 400 if the datatype or a value does not fit the column.
    """
    group = tensor.datatype.rstrip("0123456789")
    match column.kind, group:
        case "numeric", "FP" | "INT" | "UINT":
            values = tensor.numbers.astype(np.float64, copy=False)
            refuse_infinite([column.name], values[None])
            return pa.array(values)
        case "categorical", "BYTES":
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
        f"the {column.kind} input {column.name!r} is {_TAKEN[column.kind]}",
        status=400,
        found=tensor.datatype,
        column=column.name,
    )


_TAKEN: dict[Kind, str] = {
    "numeric": "FP64, or another FP, INT or UINT",
    "categorical": "BYTES, or INT, UINT or FP",
    "boolean": "BOOL, or FP, INT or UINT of 0 and 1",
    "timestamp": "BYTES",
}
_VALUES: dict[Kind, str] = {
    "numeric": "a finite number, or NaN where it is missing",
    "categorical": "a string or a whole number",
    "boolean": "0 or 1, or NaN where it is missing",
    "timestamp": "a time as ISO 8601, such as 2024-05-17T08:30:00Z, or empty where it is missing",
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
    """Refuse numbers that are none.

    Args:
        names: of the columns.
        values: of the columns, [columns, rows].

    Raises:
        RequestError: 400 if one is infinite.
    """
    infinite = np.isinf(values)
    if infinite.any():
        column, row = map(int, np.argwhere(infinite)[0])
        raise _misfit(names[column], "numeric", row, float(values[column, row]))


def _misfit(name: str, kind: Kind, row: int, value: object) -> RequestError:
    return RequestError(
        f"row {row}, input {name!r}: the value is {_VALUES[kind]}",
        status=400,
        found=value,
        row=row,
        column=name,
    )


class OutputTensors:
    """The output tensors for a target: what `/predict` answers, a tensor for each of its keys.

    A class is answered by `label` (BYTES) [n], `probability` (FP64) [n], that of the label, and
    `probabilities` (FP64) [n, classes], in the order of the target's classes; a regression by
    `value` (FP64) [n]. An ensemble adds `spread` (FP64) [n]. A request may ask for `warnings`
    (BYTES) [n] besides, by its name alone: of each row an object of JSON, by column what is unlike
    training.

    Args:
        target: of the signature.
        ensemble: whether several models answer.
        warnings: whether there are `warnings`.
    """

    def __init__(self, target: TargetInfo, *, ensemble: bool, warnings: bool = True) -> None:
        self._target = target
        classes = len(target.classes)
        self._labels = Labels([class_key(label) for label in target.classes])
        regression = target.task == "regression"
        self._shapes: dict[str, tuple[str, tuple[int, ...]]] = (
            {"value": ("FP64", (-1,))}
            if regression
            else {
                "label": ("BYTES", (-1,)),
                "probability": ("FP64", (-1,)),
                "probabilities": ("FP64", (-1, classes)),
            }
        )
        if ensemble:
            self._shapes["spread"] = ("FP64", (-1,))
        self.names: tuple[str, ...] = tuple(self._shapes)
        self.warns = warnings
        self.offered = (*self.names, WARNINGS) if warnings else self.names

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The columns of `probabilities`; none of a regression."""
        return self._target.classes

    def metadata(self) -> list[dict[str, Any]]:
        """Name, datatype and shape of each, as the protocol describes tensors."""
        return [
            {"name": name, "datatype": datatype, "shape": list(shape)}
            for name, (datatype, shape) in self._shapes.items()
        ]

    def requested(self, names: Sequence[str]) -> tuple[str, ...]:
        """The outputs that a request asks for; all but `warnings` if it names none.

        Raises:
            RequestError: 400 if one is unknown or named twice.
        """
        unknown = [name for name in names if name not in self.offered]
        if unknown or len(set(names)) != len(names):
            raise RequestError(
                "a request asks for outputs of the model, each once",
                status=400,
                found=unknown[0] if unknown else list(names[:20]),
                remedy=f"They are: {', '.join(self.offered)}",
            )
        return tuple(names) or self.names

    def tensors(self, estimate: Estimate, names: Sequence[str]) -> list[Tensor]:
        """Make the named outputs, in their order.

        Raises:
            ServeError: a prediction is not finite.
        """
        require_finite(estimate.prediction)
        values: dict[str, Any] = {}
        predicted = estimate.prediction.numpy().astype(np.float64)
        if self._target.task == "regression":
            values["value"] = predicted
        else:
            codes = self.codes(estimate.prediction)
            values |= self._classified(codes, predicted)
        if estimate.spread is not None:
            require_finite(estimate.spread)
            values["spread"] = estimate.spread.numpy().astype(np.float64)
        rows = len(predicted)
        return [
            Tensor(name, "BYTES", (rows,), as_texts(estimate.odd, rows))
            if name == WARNINGS
            else self._tensor(name, values[name])
            for name in names
        ]

    def codes(self, prediction: torch.Tensor) -> npt.NDArray[np.int64]:
        """Codes of the classes that are answered, shape [rows]."""
        binary = self._target.task == "binary"
        codes = (prediction >= 0.5).long() if binary else prediction.argmax(dim=1)
        array: npt.NDArray[np.int64] = codes.numpy()
        return array

    def _classified(
        self, codes: npt.NDArray[np.int64], predicted: npt.NDArray[np.float64]
    ) -> dict[str, Any]:
        probabilities = predicted
        if predicted.ndim == 1:
            probabilities = np.empty((len(predicted), 2))
            np.subtract(1, predicted, out=probabilities[:, 0])
            probabilities[:, 1] = predicted
        return {
            "label": Chosen(self._labels, codes),
            "probability": probabilities.max(axis=1),
            "probabilities": probabilities,
        }

    def _tensor(self, name: str, values: Any) -> Tensor:
        datatype, shape = self._shapes[name]
        if isinstance(values, Chosen):
            return Tensor(name, datatype, (len(values.codes),), values)
        return Tensor(name, datatype, (len(values), *shape[1:]), values.reshape(-1))


def model_metadata(
    name: str, versions: Sequence[str], inputs: InputTensors, outputs: OutputTensors
) -> dict[str, Any]:
    """The protocol's description of a model.

    `properties`, whose values are strings, say what else there is to know: that the columns may
    come as one matrix, the order of the classes, and the output that is given on demand alone.
    """
    properties = {
        "matrix": f"A single input {MATRIX!r} of FP64 or FP32, shape [n, columns], may stand for"
        " all inputs, in their order"
        if inputs.has_matrix
        else None,
        "classes": json.dumps(outputs.classes) if outputs.classes else None,
        "warnings": f"An output {WARNINGS!r} of BYTES, shape [n], is given where it is asked for:"
        " of each row an object of JSON, by column what is unlike the training data"
        if outputs.warns
        else None,
    }
    return {
        "name": name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": inputs.metadata(),
        "outputs": outputs.metadata(),
        "properties": {key: value for key, value in properties.items() if value is not None},
    }
