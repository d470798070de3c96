"""Pruning policies, from plain numbers."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.pruning.pruning import (
    KEEP,
    AsyncHalving,
    Hyperband,
    MedianStopping,
    NoPruning,
    build_pruner,
)
from rayml.settings.search import PrunerSettings

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(values=VALUES, reduction=st.integers(2, 5))
def test_the_best_at_a_rung_goes_on(values: list[float], reduction: int) -> None:
    policy = AsyncHalving(1, reduction)
    for number, value in enumerate(values):
        decision = policy.decide(number, 1, value)
        if value == min(values[: number + 1]):
            assert decision == KEEP


@given(seed=st.integers(0, 10_000), n=st.integers(30, 200), reduction=st.integers(2, 5))
def test_about_one_in_reduction_goes_on(seed: int, n: int, reduction: int) -> None:
    values = random.Random(seed).sample(range(10 * n), n)
    policy = AsyncHalving(1, reduction)
    kept = [v for i, v in enumerate(values) if policy.decide(i, 1, v) == KEEP]
    # Early trials are judged by few others, so some more go on than n / reduction; those that
    # would by the final ranking all do, as a rank only ever gets worse.
    final = sorted(values)[: max(1, n // reduction)]
    ranks_on_arrival = [sum(v <= values[i] for v in values[: i + 1]) for i in range(n)]
    expected = [r <= max(1, (i + 1) // reduction) for i, r in enumerate(ranks_on_arrival)]
    assert len(kept) == sum(expected)
    assert abs(len(kept) - n / reduction) <= n / 3 + reduction
    assert set(kept) & set(final)


def test_rungs_lie_at_powers_of_the_reduction() -> None:
    policy = AsyncHalving(2, 3)
    for step in range(1, 60):
        policy.decide(0, step, 0.0)
    stopped = [s for s in range(1, 60) if policy.decide(1, s, 1.0).action == "prune"]
    assert stopped == [2, 6, 18, 54]


def test_a_report_given_twice_counts_once() -> None:
    policy = AsyncHalving(1, 2)
    for number in range(4):
        policy.decide(number, 1, float(number))
    first = policy.decide(9, 1, 2.5)
    assert policy.decide(9, 1, 2.5) == first
    assert first.reason == "rank 4 of 5 after 1 epochs, 2 go on"


def test_equals_of_the_best_go_on() -> None:
    policy = AsyncHalving(1, 3)
    assert all(policy.decide(number, 1, 1.0) == KEEP for number in range(9))


def test_brackets_follow_from_the_number_and_have_their_shares() -> None:
    policy = Hyperband(1, 3, 9)
    first = [policy.bracket(number) for number in range(17)]
    # ceil(3/3 * 9), ceil(3/2 * 3), ceil(3/1 * 1)
    assert Counter(first) == {0: 9, 1: 5, 2: 3}
    assert [policy.bracket(number) for number in range(17, 34)] == first
    assert set(first[:4]) == {0, 1, 2}


def test_a_bracket_judges_its_own_trials_from_its_own_rung() -> None:
    policy = Hyperband(1, 3, 9)
    late = [number for number in range(34) if policy.bracket(number) == 2]
    for rank, number in enumerate(late):
        assert policy.decide(number, 1, float(rank)) == KEEP
        assert policy.decide(number, 3, float(rank)) == KEEP
    decisions = [policy.decide(number, 9, float(rank)) for rank, number in enumerate(late)]
    assert decisions[0] == KEEP
    assert decisions[-1].action == "prune"


def test_the_median_is_that_of_running_averages() -> None:
    policy = MedianStopping(min_epochs=1, startup_trials=3)
    for number, curve in enumerate([(4.0, 2.0), (3.0, 3.0), (5.0, 5.0)]):
        for step, value in enumerate(curve, start=1):
            assert policy.decide(number, step, value) == KEEP
        policy.completed(number)
    assert statistics.median([3.0, 3.0, 5.0]) == 3.0
    assert policy.decide(7, 1, 4.5).action == "prune"  # the median at step 1 is 4
    assert policy.decide(8, 1, 4.0) == KEEP
    assert policy.decide(8, 2, 9.0).action == "prune"  # its best is 4, the median 3
    assert policy.decide(9, 1, 2.9) == KEEP
    assert policy.decide(9, 2, 9.0) == KEEP  # its best, 2.9, counts
    assert policy.decide(9, 3, 9.0) == KEEP  # no completed trial came so far


def test_the_median_waits_for_trials_and_epochs() -> None:
    policy = MedianStopping(min_epochs=3, startup_trials=2)
    for number in range(3):
        for step in range(1, 5):
            policy.decide(number, step, 0.0)
        before = policy.decide(100 + number, 4, 1.0)
        assert before == KEEP if number < 2 else before.action == "prune"
        policy.completed(number)
    assert policy.decide(9, 2, 1.0) == KEEP
    assert policy.decide(9, 3, 1.0).action == "prune"


@given(curve=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_without_pruning_all_go_on(curve: list[float]) -> None:
    policy = NoPruning()
    assert all(policy.decide(0, step, value) == KEEP for step, value in enumerate(curve, 1))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("asha", AsyncHalving),
        ("hyperband", Hyperband),
        ("median", MedianStopping),
        ("none", NoPruning),
    ],
)
def test_policies_by_name(name: str, kind: type) -> None:
    assert isinstance(build_pruner(PrunerSettings(name=name), 20), kind)  # type: ignore[arg-type]


@given(values=st.lists(st.integers(0, 50), min_size=1, max_size=40), reduction=st.integers(2, 5))
def test_values_seen_together_are_judged_in_no_order(values: list[int], reduction: int) -> None:
    policy = AsyncHalving(1, reduction)
    for number, value in enumerate(values):
        policy.seen(number, 1, value)
    kept = [v for i, v in enumerate(values) if policy.decide(i, 1, v) == KEEP]
    last = sorted(values)[max(1, len(values) // reduction) - 1]
    assert sorted(kept) == sorted(value for value in values if value <= last)
