from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.testing.arrivals import compressed, from_counts, poisson, steady


def test_steady_requests_are_even() -> None:
    assert steady(4, 1) == [0, 0.25, 0.5, 0.75]


def test_independent_clients_come_at_random_with_the_rate_on_average() -> None:
    times = poisson(500, 20, seed=0)
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 20
    assert poisson(500, 20, seed=0) == times
    assert poisson(500, 20, seed=1) != times


@given(st.lists(st.integers(0, 50), max_size=20), st.floats(0.01, 60))
def test_each_interval_keeps_its_count(counts: list[int], seconds: float) -> None:
    times = from_counts(counts, seconds=seconds, seed=0)
    assert times == sorted(times)
    found = [0] * len(counts)
    for time in times:
        found[min(int(time / seconds + 1e-9), len(counts) - 1)] += 1
    assert found == counts


def test_recorded_moments_start_at_once_and_run_faster() -> None:
    assert compressed([30.0, 10.0, 20.0], 10) == [0, 1, 2]
    assert compressed([], 10) == []
