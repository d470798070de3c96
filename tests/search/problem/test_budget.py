"""What a search may spend, and when it has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import ConfigError
from rayml.search.problem.budget import (
    Budget,
    Usage,
    check_cost,
    cost_per_second,
    seconds_left,
    spent,
)
from rayml.settings.search import PriceSettings, ResourceSettings, SearchSettings

USED = Usage(done=4, seconds=30.0, epochs=40, cost=0.5, first_epoch=10.0)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({}, None),
        ({"seconds": 30.5, "epochs": 41, "cost": 0.51}, None),
        ({"seconds": 30.0}, "the budget of 30 seconds is spent"),
        ({"epochs": 40}, "the budget of 40 epochs is spent"),
        ({"cost": 0.5}, "the budget of cost 0.5 is spent"),
        ({"seconds": 99.0, "cost": 0.25}, "the budget of cost 0.25 is spent"),
    ],
)
def test_why_a_search_has_to_end(limits: dict[str, Any], reason: str | None) -> None:
    assert spent(Budget(trials=1, **limits), USED) == reason


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({}, 80.0),  # 16 more trials at 5 s each
        ({"seconds": 32.0}, 2.0),
        ({"epochs": 60}, 10.0),  # 20 more at 0.5 s each
        ({"cost": 0.75}, 10.0),  # as much in 40 s as half of it in 20 s
        ({"epochs": 39}, 0.0),
        ({"seconds": 1000.0, "epochs": 60, "cost": 0.6}, 4.0),
    ],
)
def test_time_left_by_the_first_budget_to_end(limits: dict[str, Any], seconds: float) -> None:
    assert seconds_left(Budget(trials=20, **limits), USED) == pytest.approx(seconds)


def test_no_time_is_told_without_a_pace() -> None:
    fresh = Usage(done=0, seconds=3.0, epochs=0)
    budget = Budget(trials=5, epochs=10, cost=1.0)
    assert seconds_left(budget, fresh) is None
    assert seconds_left(Budget(trials=5, seconds=10.0), fresh) == 7.0


@given(st.floats(0.1, 100), st.integers(1, 100), st.integers(1, 100), st.floats(0.1, 100))
def test_a_budget_is_spent_exactly_when_no_time_is_left(
    seconds: float, epochs: int, limit: int, cost: float
) -> None:
    budget = Budget(trials=1000, seconds=50.0, epochs=limit, cost=20.0)
    usage = Usage(done=1, seconds=seconds, epochs=epochs, cost=cost, first_epoch=0.0)
    assert (spent(budget, usage) is not None) == (seconds_left(budget, usage) == 0)


def test_the_cost_of_a_second() -> None:
    resources = ResourceSettings(cpu=2.0, gpu=0.5)
    prices = PriceSettings(cpu_hour=0.25, gpu_hour=2.6)
    assert cost_per_second(SearchSettings(resources=resources, prices=prices)) == 1.8 / 3600


def test_a_budget_of_cost_needs_a_price() -> None:
    check_cost(SearchSettings())
    check_cost(SearchSettings(cost=1.0, prices=PriceSettings(cpu_hour=0.1)))
    for prices in (PriceSettings(), PriceSettings(gpu_hour=3.0)):
        with pytest.raises(ConfigError, match=r"Set search\.prices\.cpu_hour"):
            check_cost(SearchSettings(cost=1.0, prices=prices))
