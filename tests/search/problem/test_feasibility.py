"""How far quantities lie beyond their bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.problem.feasibility import excesses, violation
from rayml.settings.search import BoundSettings

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("value", "excess"),
    [(0.5, -1.5), (2.0, 0.0), (3.0, 1.0), (None, math.inf), (math.nan, math.inf)],
)
def test_the_amount_above_a_maximum(value: float | None, excess: float) -> None:
    assert excesses({"x": value}, {"x": BoundSettings(max=2.0)}) == {"x": excess}


@pytest.mark.parametrize(("value", "excess"), [(0.0, 1.0), (1.0, 0.0), (1.5, -0.5), (4.0, 2.0)])
def test_the_amount_outside_of_a_range(value: float, excess: float) -> None:
    assert excesses({"x": value}, {"x": BoundSettings(min=1.0, max=2.0)}) == {"x": excess}


def test_a_quantity_that_was_not_measured_breaks_its_constraint() -> None:
    assert violation({}, {"x": BoundSettings(max=2.0)}) == math.inf


def test_amounts_are_added_and_room_to_spare_makes_up_for_nothing() -> None:
    constraints = {
        "x": BoundSettings(max=1.0),
        "y": BoundSettings(min=0.0),
        "z": BoundSettings(max=9),
    }
    assert violation({"x": 1.5, "y": -2.0, "z": 0.0}, constraints) == 2.5


@given(NUMBERS, NUMBERS, NUMBERS)
def test_values_are_feasible_exactly_within_their_bounds(
    value: float, one: float, other: float
) -> None:
    low, high = sorted([one, other])
    found = violation({"x": value}, {"x": BoundSettings(min=low, max=high)})
    assert (found == 0) == (low <= value <= high)
    assert found >= 0
