"""The promotion policy as a table of cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.registry.promotion import Policy, decide
from rayml.types import Direction


@pytest.mark.parametrize(
    ("policy", "new", "old", "direction", "promote"),
    [
        ("always", 0.1, 0.9, "maximize", True),
        ("always", None, 0.9, "maximize", True),
        ("never", 0.9, 0.1, "maximize", False),
        ("better", 0.9, 0.1, "maximize", True),
        ("better", 0.1, 0.9, "maximize", False),
        ("better", 0.1, 0.9, "minimize", True),
        ("better", 0.5, 0.5, "maximize", False),
        ("better", 0.5, 0.5, "minimize", False),
        ("better", math.nan, 0.1, "maximize", False),
        ("better", None, 0.1, "maximize", False),
        ("better", 0.5, None, "maximize", False),
    ],
)
def test_policies(
    policy: Policy, new: float | None, old: float | None, direction: Direction, promote: bool
) -> None:
    decision = decide({"m": new}, {"m": old}, metric="m", direction=direction, policy=policy)
    assert decision.promote is promote
    assert decision.reason


def test_a_first_version_is_better_than_none() -> None:
    decision = decide({"m": 0.1}, None, metric="m", direction="maximize", policy="better")
    assert decision.promote
    assert "no champion" in decision.reason


def test_without_its_metric_a_candidate_is_not_better_even_than_none() -> None:
    decision = decide({}, None, metric="m", direction="maximize", policy="better")
    assert not decision.promote
    assert "no m" in decision.reason


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers)
def test_two_versions_never_both_beat_each_other(first: float, second: float) -> None:
    def beats(new: float, old: float) -> bool:
        decision = decide({"m": new}, {"m": old}, metric="m", direction="maximize", policy="better")
        return decision.promote

    assert not (beats(first, second) and beats(second, first))
    assert beats(first, second) == (first > second)
