"""Constraints: how far a trial's quantities lie beyond their bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rayml.settings.search import BoundSettings

Quantities = Mapping[str, float | None]


def excesses(values: Quantities, constraints: Mapping[str, BoundSettings]) -> dict[str, float]:
    """For each constraint the amount beyond its bound, in the quantity's own unit.

    It is 0 or negative where the bound is kept, which is how Optuna reads a constraint, and
    infinite where the quantity is undefined.

    Args:
        values: quantities by name.
        constraints: bounds by name of the quantity.
    """
    return {name: _excess(values.get(name), bound) for name, bound in constraints.items()}


def violation(values: Quantities, constraints: Mapping[str, BoundSettings]) -> float:
    """The sum of all amounts beyond a bound: 0 for feasible values, as Optuna adds them up."""
    return sum(max(each, 0.0) for each in excesses(values, constraints).values())


def _excess(value: float | None, bound: BoundSettings) -> float:
    if value is None or math.isnan(value):
        return math.inf
    above = -math.inf if bound.max is None else value - bound.max
    below = -math.inf if bound.min is None else bound.min - value
    return max(above, below)
