"""Mergeable aggregates of a column of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.keys import Floats, KeyCounts, floats_of, order_floats

SKETCH_ENTRIES = 2**14  # relative width of ranges is then about 1/256, or less


@dataclass(frozen=True)
class NumericStatistics:
    """Aggregates of a column of numbers.

    Moments are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm
    for computing sample variances", 1979.

    Attributes:
        missing: number of missing values.
        count: number of values.
        mean: of the values.
        m2: sum of squared differences from the mean.
        minimum: infinite if there are no values.
        maximum: minus infinity if there are no values.
        sketch: of the distribution.
    """

    missing: int
    count: int
    mean: float
    m2: float
    minimum: float
    maximum: float
    sketch: KeyCounts

    @classmethod
    def of(cls, values: Floats, entries: int = SKETCH_ENTRIES) -> NumericStatistics:
        """Aggregate finite values; NaN is a missing one."""
        present = values[~np.isnan(values)]
        count = len(present)
        missing = len(values) - count
        sketch = KeyCounts.of(order_floats(present), entries)
        if not count:
            return cls(missing, 0, 0.0, 0.0, np.inf, -np.inf, sketch)
        low, high = float(present.min()), float(present.max())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = min(max(float(present.mean()), low), high)  # rounding may leave the range
            m2 = float(np.square(present - mean).sum())
        return cls(missing, count, mean, m2, low, high, sketch)

    def merge(self, other: NumericStatistics) -> NumericStatistics:
        """Aggregates of the values of both."""
        count = self.count + other.count
        share = other.count / count if count else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.float64(other.mean) - self.mean if self.count and other.count else 0.0
            mean = float(self.mean + gap * share) if self.count else other.mean
            m2 = float(self.m2 + other.m2 + gap * gap * self.count * share)
        return NumericStatistics(
            missing=self.missing + other.missing,
            count=count,
            mean=mean,
            m2=m2,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
            sketch=self.sketch.merge(other.sketch),
        )

    @property
    def deviation(self) -> float:
        """Standard deviation of the values as a population."""
        if not self.count or self.minimum == self.maximum:
            return 0.0
        return float(np.sqrt(self.m2 / self.count))

    def values(self) -> Floats:
        """The different values, ascending; middles of ranges if the sketch has ranges."""
        centers = np.nan_to_num(floats_of(self.sketch.centers()))
        return np.clip(centers, self.minimum, self.maximum)

    def quantiles(self, levels: npt.ArrayLike) -> Floats:
        """Values below which the given shares of the values lie.

        Linear between neighbours, and exact if the sketch has an entry for each different value.
        There must be values.
        """
        values = self.values()
        ends = np.cumsum(self.sketch.counts)
        position = np.asarray(levels, dtype=np.float64) * (self.count - 1)
        below = np.floor(position)
        weight = position - below
        low = values[np.searchsorted(ends, below, side="right")]
        high = values[np.searchsorted(ends, np.ceil(position), side="right")]
        return np.where(low == high, low, low * (1 - weight) + high * weight)

    def state(self) -> dict[str, object]:
        """The fields of a row of an Arrow table."""
        return {
            "missing": self.missing,
            "count": self.count,
            "mean": self.mean,
            "m2": self.m2,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "shift": self.sketch.shift,
            "keys": self.sketch.keys,
            "counts": self.sketch.counts,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, pa.Scalar]) -> NumericStatistics:
        """Restore the fields that `state` gave, from a row of an Arrow table."""
        sketch = KeyCounts(
            state["keys"].values.to_numpy(zero_copy_only=False),
            state["counts"].values.to_numpy(zero_copy_only=False),
            state["shift"].as_py(),
            SKETCH_ENTRIES,
        )
        moments = {name: state[name].as_py() for name in ("mean", "m2", "minimum", "maximum")}
        return cls(
            missing=state["missing"].as_py(),
            count=state["count"].as_py(),
            sketch=sketch,
            **moments,
        )
