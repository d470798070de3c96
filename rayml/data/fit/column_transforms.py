"""Transforms of raw columns to features, one class for each kind.

Each output depends on its own row alone, and element-wise operations compute it for any number of
rows, so that its bits are the same in training and in serving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# By Chebyshev's inequality no row of a training split of up to 10^8 rows lies so many standard
# deviations from the mean, so only values unlike training are cut.
STANDARD_LIMIT = 1e4
FLOAT32_LIMIT = float(np.finfo(np.float32).max)

HUGE = 1e300
"""Larger numbers are cut to this one, so that no difference overflows."""

_DAY = 86_400_000_000  # in microseconds
_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Feature:
    """One output of a preprocessor.

    Attributes:
        name: of the output; the raw column's own name, or with the part in brackets.
        column: the raw column that it comes from.
        part: of the column: `value`, `missing`, `code` or a part of a time.
    """

    name: str
    column: str
    part: str = "value"

    @classmethod
    def part_of(cls, column: str, part: str) -> Feature:
        """An output that is a part of a column."""
        return cls(f"{column}[{part}]", column, part)


@dataclass(frozen=True)
class AffineColumn:
    """Numbers or truth values as `(x - center) / scale`, cut at `limit`.

    Attributes:
        name: of the column.
        center: subtracted from the value.
        scale: divisor; 0 for a column without variance, whose output is always 0.
        fill: output for a missing value.
        limit: outputs lie between `-limit` and `limit`.
    """

    name: str
    center: float
    scale: float
    fill: float
    limit: float

    def apply(self, values: Floats) -> Floats:
        """Transform values; NaN is a missing one."""
        if not self.scale:
            return np.zeros(len(values))
        scaled = (np.clip(values, -HUGE, HUGE) - self.center) / self.scale
        return np.where(np.isnan(values), self.fill, np.clip(scaled, -self.limit, self.limit))


@dataclass(frozen=True)
class QuantileColumn:
    """Numbers by their rank, mapped to a standard normal distribution.

    Between reference points the map is linear; beyond the first and last it is constant. The
    output for a missing value is 0, that of the median.

    Attributes:
        name: of the column.
        points: values of the reference points, ascending without repeats.
        scores: their outputs.
    """

    name: str
    points: tuple[float, ...]
    scores: tuple[float, ...]

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        return np.array(self.points), np.array(self.scores)

    def apply(self, values: Floats) -> Floats:
        """Transform values; NaN is a missing one."""
        if len(self.points) < 2:
            return np.zeros(len(values))
        points, scores = self._arrays
        inside = np.clip(values, points[0], points[-1])
        left = np.clip(np.searchsorted(points, inside, side="right") - 1, 0, len(points) - 2)
        share = (inside - points[left]) / (points[left + 1] - points[left])
        mapped = scores[left] + share * (scores[left + 1] - scores[left])
        return np.where(np.isnan(values), 0.0, mapped)


NumericColumn = AffineColumn | QuantileColumn


@dataclass(frozen=True)
class TimestampColumn:
    """A time as parts: hour, weekday and month on circles, and a standardised day number.

    Parts are of UTC; the output for a missing time is 0 in all parts.

    Attributes:
        name: of the column.
        day: transform of the number of days since 1970, with fractions.
    """

    name: str
    day: AffineColumn

    PARTS = (
        *("hour_sin", "hour_cos"),
        *("weekday_sin", "weekday_cos"),
        *("month_sin", "month_cos"),
        "day",
    )

    def apply(self, column: pa.ChunkedArray) -> tuple[Floats, Mask]:
        """Transform times.

        Returns:
            The parts, shape [rows, 7], and which times are missing.
        """
        times, missing = microseconds(column)
        days = times // _DAY
        months = times.view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        parts = [
            *_HOURS[:, times // _HOUR % 24],
            *_WEEKDAYS[:, (days + 3) % 7],  # 1 January 1970 was a Thursday; Monday is 0
            *_MONTHS[:, months % 12],
            self.day.apply(times / _DAY),
        ]
        return np.where(missing[:, None], 0.0, np.stack(parts, axis=1)), missing

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Restore what `dataclasses.asdict` gave."""
        return cls(value["name"], AffineColumn(**value["day"]))


@dataclass(frozen=True)
class CategoricalColumn:
    """Categories as codes: 0 for one that training did not see, then the known ones.

    Attributes:
        name: of the column.
        categories: known ones in the order of their codes.
        missing: whether training misses values: a missing value then has the code 1, and the
            categories follow; else it counts as unknown.
        tokens: texts that mean a missing value, unless they are categories.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool = False
    tokens: tuple[str, ...] = ()
    _codes: Mapping[str | None, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = 2 if self.missing else 1
        codes: dict[str | None, int] = {c: first + i for i, c in enumerate(self.categories)}
        codes[None] = 1 if self.missing else 0
        for token in self.tokens:
            codes.setdefault(token, codes[None])
        object.__setattr__(self, "_codes", codes)

    @property
    def cardinality(self) -> int:
        """Number of codes."""
        return 1 + self.missing + len(self.categories)

    def code(self, category: str | None) -> int:
        """The code of one category; None is a missing one."""
        return self._codes.get(category, 0)

    def is_missing(self, category: str | None) -> bool:
        """Whether that is a missing value."""
        return category is None or (category in self.tokens and category not in self.categories)

    def apply(self, column: pa.ChunkedArray) -> Codes:
        """Transform strings to codes, shape [rows]."""
        encoded = column.combine_chunks().dictionary_encode()
        distinct = [*encoded.dictionary.to_pylist(), None]
        codes = np.array([self._codes.get(value, 0) for value in distinct], dtype=np.int64)
        places: Codes = encoded.indices.fill_null(len(distinct) - 1).to_numpy()
        return codes[places]

    def to_json(self) -> dict[str, Any]:
        """State as a value of JSON."""
        return {"name": self.name, "categories": list(self.categories), "missing": self.missing}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Restore what `to_json` gave."""
        return cls(value["name"], tuple(value["categories"]), value["missing"])


def numeric_to_json(column: NumericColumn) -> dict[str, Any]:
    """State of a numeric column as a value of JSON; floats survive the round trip exactly."""
    return asdict(column)


def numeric_from_json(value: Mapping[str, Any]) -> NumericColumn:
    """Restore what `numeric_to_json` gave."""
    if "points" in value:
        return QuantileColumn(value["name"], tuple(value["points"]), tuple(value["scores"]))
    return AffineColumn(**value)


def microseconds(column: pa.ChunkedArray) -> tuple[Codes, Mask]:
    """Microseconds since 1970 of times, 0 where missing, and which are missing."""
    times = column.combine_chunks().cast(pa.int64())
    missing: Mask = times.is_null().to_numpy(zero_copy_only=False)
    return times.fill_null(0).to_numpy(), missing


def days(column: pa.ChunkedArray) -> Floats:
    """Days since 1970 of times, with fractions; NaN where missing."""
    times, missing = microseconds(column)
    return np.where(missing, np.nan, times / _DAY)


def _circle(steps: int) -> Floats:
    angles: Sequence[float] = [2 * math.pi * step / steps for step in range(steps)]
    return np.array([[math.sin(a) for a in angles], [math.cos(a) for a in angles]])


# Tables, since the last bit of a vectorised sine may depend on a value's place in an array.
_HOURS, _WEEKDAYS, _MONTHS = _circle(24), _circle(7), _circle(12)
