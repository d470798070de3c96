"""Finds values of raw rows that are unlike the training split.

A value is odd in one of four ways:

- `unknown`: a category that the model does not know.
- `missing`: no value, in a column that the training split never misses.
- `range`: a number or time that lies farther outside of the training range than that range is
  wide. Columns of a single value have no range, and that of private columns is not known.
- `cut`: a text that is longer than its encoder takes, so that its end is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa

from rayml.data.columns.schema import Column
from rayml.data.fit.column_transforms import CategoricalColumn, Floats, Mask, days
from rayml.data.fit.text_columns import TextColumn

OddKind = Literal["unknown", "missing", "range", "cut"]
ODD_KINDS: Final[tuple[OddKind, ...]] = get_args(OddKind)

Odd = dict[str, OddKind]
"""The odd values of a row: the kind of oddity by column."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


class Oddities:
    """Finds odd values.

    Attributes:
        low: least number that is not odd, for each numeric and boolean column.
        high: greatest number that is not odd, for each of those columns.
        required: which of those columns the training split never misses.

    Args:
        columns: of the schema.
        categorical: transforms of the categorical ones.
        profile: of the training split.
        texts: transforms of the columns of texts.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        categorical: Sequence[CategoricalColumn],
        profile: Mapping[str, Any],
        texts: Sequence[TextColumn] = (),
    ) -> None:
        self._columns = tuple(columns)
        self._texts = {column.name: column for column in texts}
        self._categorical = {column.name: column for column in categorical}
        self._bounds = {column.name: _bounds(column, profile[column.name]) for column in columns}
        self._required = {column.name: not profile[column.name]["missing"] for column in columns}
        numbers = [column.name for column in columns if column.kind in ("numeric", "boolean")]
        self.low = np.array([self._bounds[name][0] for name in numbers])
        self.high = np.array([self._bounds[name][1] for name in numbers])
        self.required = np.array([self._required[name] for name in numbers], dtype=np.bool_)
        self._look = [(column.name, self._looks_at(column)) for column in columns]

    def in_numbers(self, values: Floats, missing: Mask) -> bool:
        """Whether there is an odd value among numbers and truth values.

        Args:
            values: [rows, columns] in the schema's order; NaN is missing.
            missing: which values are missing.
        """
        usual = values >= self.low
        usual &= values <= self.high
        # Counting is several times as fast on a few values as `all`.
        if np.count_nonzero(usual) == usual.size:
            return False
        usual |= missing & ~self.required
        return bool(np.count_nonzero(usual) != usual.size)

    def in_times(self, table: pa.Table) -> bool:
        """Whether there is an odd value in a table of timestamp columns."""
        return any(self._in_column(name, table.column(name)).any() for name in table.column_names)

    def in_texts(self, name: str, missing: Mask, cut: Mask) -> bool:
        """Whether there is an odd value in a column of texts.

        Args:
            name: of the column.
            missing: which texts are missing.
            cut: which texts are longer than their encoder takes.
        """
        return bool(cut.any() or (self._required[name] and missing.any()))

    def of_row(self, row: Mapping[str, Any]) -> Odd:
        """The odd values of a row of Python values, as `Preprocessor.transform_rows` takes it."""
        odd: Odd = {}
        for name, look in self._look:
            kind = look(row.get(name))
            if kind is not None:
                odd[name] = kind
        return odd

    def of_table(self, table: pa.Table) -> dict[int, Odd]:
        """The odd values of a raw table in natural types, by index of the row."""
        found: dict[int, Odd] = {}
        for column in self._columns:
            codes = self._in_column(column.name, table.column(column.name))
            for row in np.flatnonzero(codes).tolist():
                found.setdefault(row, {})[column.name] = ODD_KINDS[codes[row] - 1]
        return dict(sorted(found.items()))

    def _looks_at(self, column: Column) -> Callable[[Any], OddKind | None]:
        name, required = column.name, self._required[column.name]
        if column.kind == "categorical":
            return partial(_category, self._categorical[name])
        if column.kind == "text":
            return partial(_text, self._texts[name], required)
        read = _days if column.kind == "timestamp" else float
        return partial(_number, *self._bounds[name], required, read)

    def _in_column(self, name: str, values: pa.ChunkedArray) -> Any:
        """For each row 0 if its value is not odd, else 1 + the place in `ODD_KINDS`."""
        if (text := self._texts.get(name)) is not None:
            tokens = text.reader.read_column(values).tokens
            missing = np.isnan(tokens) & self._required[name]
            cut = tokens > text.reader.max_tokens
            return np.where(cut, _code("cut"), np.where(missing, _code("missing"), 0))
        transform = self._categorical.get(name)
        if transform is not None:
            encoded = values.combine_chunks().dictionary_encode()
            distinct = [*encoded.dictionary.to_pylist(), None]
            kinds = [_code(_category(transform, each)) for each in distinct]
            return np.array(kinds)[encoded.indices.fill_null(len(distinct) - 1).to_numpy()]
        numbers = days(values) if pa.types.is_timestamp(values.type) else _floats(values)
        low, high = self._bounds[name]
        outside = (numbers < low) | (numbers > high)
        missing = np.isnan(numbers) & self._required[name]
        return np.where(outside, _code("range"), np.where(missing, _code("missing"), 0))


def _bounds(column: Column, profile: Mapping[str, Any]) -> tuple[float, float]:
    low, high = profile.get("minimum"), profile.get("maximum")
    if (
        column.kind in ("categorical", "boolean", "text")
        or low is None
        or high is None
        or low == high
    ):
        return -np.inf, np.inf
    return low - (high - low), high + (high - low)


def _code(kind: OddKind | None) -> int:
    return 0 if kind is None else ODD_KINDS.index(kind) + 1


def _category(column: CategoricalColumn, value: str | None) -> OddKind | None:
    if column.code(value):
        return None
    return "missing" if column.is_missing(value) else "unknown"


def _text(column: TextColumn, required: bool, value: str | None) -> OddKind | None:
    if column.reader.is_missing(value):
        return "missing" if required else None
    return "cut" if column.is_cut(value) else None


def _number(
    low: float, high: float, required: bool, read: Callable[[Any], float], value: Any
) -> OddKind | None:
    if value is None:
        return "missing" if required else None
    return None if low <= read(value) <= high else "range"


def _days(time: datetime) -> float:
    since = time - _EPOCH
    return ((since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds) / (
        _DAY_S * 1_000_000
    )


def _floats(values: pa.ChunkedArray) -> Floats:
    floats: Floats = values.cast(pa.float64()).to_numpy()
    return floats
