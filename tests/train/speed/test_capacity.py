"""The size of a cohort follows from what was measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.train.speed import capacity
from rayml.train.speed.capacity import Measured, choose_capacity, measure_capacity

MEMORY = 2**30


def test_doubling_goes_on_while_it_pays() -> None:
    assert choose_capacity([Measured(1, 1.0, 10)], MEMORY) is None
    assert choose_capacity([Measured(1, 1.0, 10), Measured(2, 1.2, 20)], MEMORY) is None


def test_a_size_that_is_no_faster_ends_it() -> None:
    two = [Measured(1, 1.0, 10), Measured(2, 1.5, 20)]
    chosen = choose_capacity([*two, Measured(4, 2.99, 40)], MEMORY)
    assert chosen is not None
    assert chosen.lanes == 4  # not slower either
    slower = choose_capacity([*two, Measured(4, 3.5, 40)], MEMORY)
    assert slower is not None
    assert slower.lanes == 2
    assert "4 together are no faster" in slower.reason


def test_two_lanes_that_are_slower_than_one_model_do_not_end_it() -> None:
    two = [Measured(1, 1.0, 10), Measured(2, 2.5, 20)]
    assert choose_capacity(two, MEMORY) is None
    chosen = choose_capacity([*two, Measured(4, 5.0, 40)], MEMORY)
    assert chosen is not None
    assert chosen.lanes == 1
    assert chosen.reason == "trials one by one; 4 together are no faster"


def test_memory_ends_it() -> None:
    chosen = choose_capacity([Measured(1, 1.0, 600), Measured(2, 1.0, 600)], 1000)
    assert chosen is not None
    assert chosen.lanes == 2
    assert "memory" in chosen.reason


@given(st.lists(st.floats(1e-4, 1.0), min_size=9, max_size=9), st.integers(1, 200))
def test_no_slower_than_one_lane_and_no_larger_than_wanted(costs: list[float], most: int) -> None:
    seconds = {2**i: cost for i, cost in enumerate(costs)} | {most: costs[-1]}
    tried: list[int] = []

    def step(lanes: int) -> tuple[Callable[[], None], int]:
        tried.append(lanes)
        return lambda: None, lanes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "_seconds", lambda run: seconds[tried[-1]])
        chosen = measure_capacity(step, most, MEMORY)
    assert chosen.lanes in tried
    assert tried == sorted(set(tried))
    assert max(tried) <= most
    assert chosen.lanes / seconds[chosen.lanes] >= 1 / seconds[1]
