"""Features straight from input tensors, with the same bits as from a table of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.fit.preprocess import NO_OTHERS, Preprocessor
from rayml.registry.bundle.signature import Signature
from rayml.serve.tensors.byte_codes import ByteCodes, Codes
from rayml.serve.tensors.input_tensors import InputTensors, column_values, refuse_infinite
from rayml.serve.tensors.tensors import NUMPY_TYPES, Tensor, Wire
from rayml.types import Features


class TensorFeatures:
    """Prepares input tensors.

    Args:
        inputs: the input tensors of the signature.
        signature: signature of the bundle.
        preprocessor: preprocessor of the bundle.
    """

    def __init__(
        self, inputs: InputTensors, signature: Signature, preprocessor: Preprocessor
    ) -> None:
        self._inputs = inputs
        self._preprocessor = preprocessor
        self._columns = {column.name: column for column in signature.inputs}
        self._numeric = preprocessor.numeric
        self._categorical = preprocessor.categorical
        places = {name: place for place, name in enumerate(self._columns)}
        self._order = [places[name] for name in self._numeric]
        empty = ["" in self._columns[column.name].categories for column in self._categorical]
        self._byte_codes = ByteCodes(self._categorical, empty)

    def __call__(self, tensors: Sequence[Tensor]) -> Features:
        """Prepare the rows of a request.

        Raises:
            RequestError: see `InputTensors.table`.
        """
        if self._inputs.is_matrix(tensors):
            numbers = self._inputs.matrix(tensors[0])[:, self._order]
            return self._preprocessor.transform_values(
                numbers, np.empty((len(numbers), 0), np.int64)
            )
        given, rows = self._inputs.columns(tensors)
        return self._preprocessor.transform_values(
            self._numbers(given, rows).T, self._codes(given, rows), self._others(given, rows)
        )

    def _numbers(self, given: Mapping[str, Tensor], rows: int) -> npt.NDArray[np.float64]:
        """Numbers and truth values, [columns, rows]."""
        numbers = np.empty((len(self._numeric), rows))
        for name, values in zip(self._numeric, numbers, strict=True):
            column, tensor = self._columns[name], given.get(name)
            if tensor is None:
                values[:] = np.nan
            elif column.kind == "numeric" and tensor.datatype in _NUMBERS:
                values[:] = tensor.numbers
            else:
                read = column_values(tensor, column).cast(pa.float64())
                values[:] = read.to_numpy(zero_copy_only=False)
        refuse_infinite(self._numeric, numbers)
        return numbers

    def _codes(self, given: Mapping[str, Tensor], rows: int) -> Codes:
        """Codes of categories, [rows, columns]."""
        wires = {
            place: tensor.data.raw
            for place, column in enumerate(self._categorical)
            if (tensor := given.get(column.name)) is not None and isinstance(tensor.data, Wire)
        }
        places = list(wires)
        together = self._byte_codes.look_up(places, list(wires.values()), rows) if wires else None
        if together is not None and len(places) == len(self._categorical):
            return together
        codes = np.empty((rows, len(self._categorical)), dtype=np.int64)
        if together is not None:
            codes[:, places] = together
        for place, column in enumerate(self._categorical):
            if together is None or place not in wires:
                codes[:, place] = self._code(given.get(column.name), place)
        return codes

    def _code(self, tensor: Tensor | None, place: int) -> Codes | int:
        """Codes of one column, by way of its strings."""
        transform = self._categorical[place]
        if tensor is None:
            return transform.code(None)
        values = column_values(tensor, self._columns[transform.name])
        return transform.apply(pa.chunked_array([values]))

    def _others(self, given: Mapping[str, Tensor], rows: int) -> pa.Table:
        names = self._preprocessor.others
        return self._inputs.read(names, given, rows) if names else NO_OTHERS


_NUMBERS = frozenset(NUMPY_TYPES) - {"BOOL"}
