"""The numeric features besides the numbers and truth values: parts of times, texts, indicators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.data.columns.repeated import repeated
from rayml.data.fit.column_transforms import Feature, Mask, NumericColumn, TimestampColumn
from rayml.data.fit.text_columns import TextColumn, part_names
from rayml.errors import SchemaError

Look = Callable[[str, Mask, Mask], None]
"""Is called with the name of a column of texts, which of them are missing, and which are cut."""


class Parts:
    """Appends features to those of numbers and truth values.

    Attributes:
        features: of all numeric outputs, those of numbers and truth values first.
        columns: names of the columns that it reads.

    Args:
        numeric: transforms of numeric and boolean columns.
        timestamps: transforms of times.
        texts: transforms of texts.
        indicators: columns with a 0/1 output for missing values.
    """

    def __init__(
        self,
        numeric: Sequence[NumericColumn],
        timestamps: Sequence[TimestampColumn],
        texts: Sequence[TextColumn],
        indicators: Sequence[str],
    ) -> None:
        self._numeric = [column.name for column in numeric]
        self._timestamps = tuple(timestamps)
        self._texts = tuple(texts)
        self._indicators = tuple(indicators)
        self.columns = (*(each.name for each in timestamps), *(each.name for each in texts))
        self._types = [
            *[ARROW_TYPES["timestamp"]] * len(timestamps),
            *[ARROW_TYPES["text"]] * len(texts),
        ]
        self.features = (
            *(Feature(column.name, column.name) for column in numeric),
            *(Feature.part_of(t.name, part) for t in timestamps for part in t.PARTS),
            *(
                Feature(part, column.name, "text")
                for column in texts
                for part in part_names(column.name, column.reader)
            ),
            *(Feature.part_of(name, "missing") for name in indicators),
        )

    @property
    def any(self) -> bool:
        """Whether there are such features."""
        return bool(self.columns or self._indicators)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The columns that it reads, of rows of Python values."""
        kinds = zip(self.columns, self._types, strict=True)
        return pa.table({name: pa.array([row.get(name) for row in rows], k) for name, k in kinds})

    def missing_places(self) -> tuple[int, ...]:
        """For each feature the place of the one that says that its column is missing; or -1."""
        first = len(self.features) - len(self._indicators)
        places = {name: first + i for i, name in enumerate(self._indicators)}
        return tuple(
            -1 if each.part == "missing" else places.get(each.column, -1) for each in self.features
        )

    def append(
        self,
        table: pa.Table,
        numbers: npt.NDArray[np.float32],
        missing: Mask,
        look: Look | None = None,
    ) -> npt.NDArray[np.float32]:
        """Append the features to those of numbers and truth values.

        Args:
            table: the columns that it reads, in natural types; without any it has no rows.
            numbers: features of numbers and truth values, [rows, columns].
            missing: which of these values are missing.
            look: see `Look`.
        """
        rows, at = numbers.shape
        features = np.empty((rows, len(self.features)), dtype=np.float32)
        features[:, :at] = numbers
        masks = {name: missing[:, i] for i, name in enumerate(self._numeric)}
        for time in self._timestamps:
            parts, masks[time.name] = time.apply(table.column(time.name))
            features[:, at : at + len(time.PARTS)] = parts
            at += len(time.PARTS)
        for text in self._texts:
            found = text.reader.read_column(table.column(text.name))
            end = at + len(text.numbers)
            features[:, at:end], masks[text.name] = text.features(found)
            at = end
            if look is not None:
                look(text.name, masks[text.name], found.tokens > text.reader.max_tokens)
        for i, name in enumerate(self._indicators, start=at):
            features[:, i] = masks[name]
        return features


def require_distinct(names: Sequence[str]) -> None:
    """Check that no two features have the same name.

    Raises:
        SchemaError: a column has the name of a part of another one.
    """
    clash = repeated(names)
    if clash:
        raise SchemaError(
            "a column has the name of a part of another column",
            found=clash,
            remedy="Rename the column in the data",
        )
