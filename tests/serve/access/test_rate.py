"""Token buckets: what a client may ask, however it asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.access.rate import Rate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = Clock()
    rate = Rate(2.0, 3, clock=clock)
    assert [rate.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert rate.take("b") == 0
    clock.now = 0.25
    assert rate.take("a") == pytest.approx(0.25)
    clock.now = 0.5
    assert rate.take("a") == 0
    clock.now = 1000
    assert [rate.take("a") > 0 for _ in range(4)] == [False, False, False, True]


@given(
    st.floats(0.1, 100),
    st.integers(1, 20),
    st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_no_pattern_gets_more_than_burst_and_rate(
    per_second: float, burst: int, gaps: list[float]
) -> None:
    clock = Clock()
    rate = Rate(per_second, burst, clock=clock)
    allowed = 0
    for gap in gaps:
        clock.now += gap
        wait = rate.take("a")
        allowed += wait == 0
        assert 0 <= wait <= 1 / per_second
    assert allowed <= burst + per_second * clock.now + 1e-6


def test_waiting_as_long_as_it_says_is_enough() -> None:
    clock = Clock()
    rate = Rate(3.0, 1, clock=clock)
    rate.take("a")
    clock.now += rate.take("a") + 1e-9
    assert rate.take("a") == 0


def test_many_clients_cost_a_bounded_memory_and_the_busy_stay_known() -> None:
    rate = Rate(0.001, 1, clients=100, clock=Clock())
    rate.take("busy")
    for number in range(10_000):
        rate.take(str(number))
        assert rate.take("busy") > 0
    assert len(rate._buckets) == 100
