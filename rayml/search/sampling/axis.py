"""A searched parameter as an axis of unit length, which is what a density is estimated on."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rayml.search.space.parameter import snapped

Floats = NDArray[np.float64]

# Where all cells are smaller a range is treated as a continuous one: kernels are wider.
_LEAST_CELL = 1 / 128


class Axis:
    """Maps values of a range to coordinates between 0 and 1 and back.

    A range of steps is cut into equal cells (equal in the logarithm's sense only approximately),
    each value in the middle of its own; the coordinate of a choice is its index.

    Attributes:
        choices: how many a categorical range has; 0 for numbers.
        discrete: whether it has steps or choices.
        cells: whether a number's probability is that of its cell, rather than a density.
    """

    def __init__(self, distribution: BaseDistribution) -> None:
        self.distribution = distribution
        self.choices = 0
        self.discrete = True
        self.cells = False
        if isinstance(distribution, CategoricalDistribution):
            self.choices = len(distribution.choices)
            return
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            raise TypeError(f"no axis is known for {distribution}")
        self._low, self._high = float(distribution.low), float(distribution.high)
        self._step, self._log = float(distribution.step or 0.0), distribution.log
        self.discrete = self._step > 0
        self._whole = isinstance(distribution, IntDistribution)
        half = self._step / 2
        self._start, self._end = self._scale(self._low - half), self._scale(self._high + half)
        widest = self._at(np.array(self._low + half)) if self._step else 0.0
        self.cells = bool(widest > _LEAST_CELL)

    def encode(self, value: Any) -> float:
        """The coordinate of a value; NaN if the range does not hold it."""
        try:
            internal = float(self.distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            return math.nan
        if not self.distribution._contains(internal):  # noqa: SLF001 - there is no public form
            return math.nan
        return internal if self.choices else float(self._unit(np.array(internal)))

    def decode(self, unit: float) -> Any:
        """The value at a coordinate."""
        if self.choices:
            return self.distribution.to_external_repr(unit)
        value = float(self._value(np.array(unit)))
        return round(value) if self._whole else snapped(value, self.distribution)

    def spread(self, share: float) -> Any:
        """The value below which a share of a uniform draw lies."""
        return self.decode(math.floor(share * self.choices) if self.choices else share)

    def snap(self, units: Floats) -> Floats:
        """Coordinates of the values nearest to given ones."""
        return units if self.choices or not self._step else self._unit(self._value(units))

    def every(self, most: int) -> Floats | None:
        """Coordinates of all values; None where there are more than so many, or no steps."""
        if self.choices:
            return np.arange(self.choices, dtype=np.float64) if self.choices <= most else None
        if not self._step or (self._high - self._low) / self._step > most - 0.5:
            return None
        count = round((self._high - self._low) / self._step) + 1
        return self._unit(self._low + self._step * np.arange(count, dtype=np.float64))

    def edges(self, units: Floats) -> tuple[Floats, Floats]:
        """Where the cells of values begin and end."""
        values, half = self._value(units), self._step / 2
        return self._at(values - half), self._at(values + half)

    def _scale(self, value: float) -> float:
        return math.log(value) if self._log else value

    def _at(self, values: Floats) -> Floats:
        scaled = np.log(values) if self._log else values
        place: Floats = (scaled - self._start) / (self._end - self._start)
        return place

    def _unit(self, values: Floats) -> Floats:
        return np.clip(self._at(values), 0.0, 1.0)

    def _value(self, units: Floats) -> Floats:
        scaled = self._start + units * (self._end - self._start)
        values = np.exp(scaled) if self._log else scaled
        if self._step:
            values = self._low + np.round((values - self._low) / self._step) * self._step
        return np.clip(values, self._low, self._high)


@lru_cache(maxsize=1024)
def axis_of(distribution: BaseDistribution) -> Axis:
    """The axis of a range, made once."""
    return Axis(distribution)
