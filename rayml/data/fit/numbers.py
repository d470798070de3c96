"""The numeric and boolean columns of a table as one matrix, transformed all at once.

A call of NumPy or Arrow costs microseconds for any number of values, so that the columns of a
single row, one by one, would cost an endpoint more than its model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.fit.column_transforms import (
    HUGE,
    AffineColumn,
    Floats,
    Mask,
    NumericColumn,
    QuantileColumn,
)

# A piece of this many rows stays in the processor's cache from one operation to the next.
_PIECE_ROWS = 4096


class NumericColumns:
    """Transforms columns of numbers and truth values.

    Each operation is element-wise and rounds as in `AffineColumn.apply` and
    `QuantileColumn.apply`, so the bits are those of the columns one by one.

    Args:
        columns: their transforms, in the order of the outputs.
    """

    def __init__(self, columns: Sequence[NumericColumn]) -> None:
        affine = [c if isinstance(c, AffineColumn) else _REPLACED for c in columns]
        self._count = len(columns)
        self._center = np.array([column.center for column in affine])
        self._scale = np.array([column.scale or 1.0 for column in affine])
        self._limit = np.array([column.limit for column in affine])
        self._low = -self._limit
        self._flat = np.array([not column.scale for column in affine], dtype=np.bool_)
        self._fill = np.where(self._flat, 0.0, [column.fill for column in affine])
        self._quantiles = [(i, c) for i, c in enumerate(columns) if isinstance(c, QuantileColumn)]

    def apply(
        self, table: pa.Table, look: Callable[[Floats, Mask], None] | None = None
    ) -> tuple[npt.NDArray[np.float32], Mask]:
        """Transform a table of exactly these columns, float64 or boolean.

        Args:
            table: of the columns.
            look: called with the values, part by part, and which of them are missing.

        Returns:
            The outputs, and which values are missing; both of shape [rows, columns].
        """
        shape = (table.num_rows, self._count)
        outputs, missing = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.bool_)
        if not self._count:
            return outputs, missing
        start = 0
        for piece in _floats(table).to_batches(max_chunksize=_PIECE_ROWS):
            values: Floats = piece.to_tensor(null_to_nan=True).to_numpy()
            rows = slice(start, start + len(values))
            np.isnan(values, out=missing[rows])
            if look is not None:
                look(values, missing[rows])
            outputs[rows] = self._transform(values, missing[rows])
            start = rows.stop
        return outputs, missing

    def apply_rows(self, values: Floats) -> tuple[npt.NDArray[np.float32], Mask]:
        """Transform rows of these columns, [rows, columns]; NaN is missing. Else see `apply`."""
        missing = np.isnan(values)
        # Values may lie column by column; a model's input lies row by row.
        return self._transform(values, missing).astype(np.float32, order="C"), missing

    def _transform(self, values: Floats, missing: Mask) -> Floats:
        scaled = values.clip(-HUGE, HUGE)
        scaled -= self._center
        scaled /= self._scale
        scaled.clip(self._low, self._limit, out=scaled)
        np.copyto(scaled, self._fill, where=missing | self._flat)
        for i, column in self._quantiles:
            scaled[:, i] = column.apply(values[:, i])
        return scaled


# In the place of a column that has another transform.
_REPLACED = AffineColumn("", center=0.0, scale=0.0, fill=0.0, limit=0.0)


def _floats(table: pa.Table) -> pa.Table:
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_boolean(kind):
            table = table.set_column(i, table.field(i).name, table.column(i).cast(pa.float64()))
    return table
