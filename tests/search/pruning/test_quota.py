"""How trials are dealt to cohorts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.pruning.quota import (
    UNMEASURED_LANES,
    Quota,
    Standing,
    deal,
    looks_of,
    quota_of,
    refill,
)

counts = st.integers(1, 10_000)


@given(counts, st.integers(1, 64), st.integers(1, 256), st.integers(1, 5))
def test_a_cohort_of_given_lanes_has_them(
    trials: int, workers: int, lanes: int, fillings: int
) -> None:
    quota = quota_of(trials, workers, lanes, fillings)
    assert quota.lanes == lanes <= quota.trials
    assert quota.trials == lanes or (quota.trials - 1) * max(4, 2 * workers) < trials


def looked_at(trials: int, workers: int, structures: int | None, *, told: bool = True) -> list[int]:
    """Structures that have trials after each cohort, and no fewer than the policy opens itself."""
    asked, looked, found = 0, 0, []
    while asked < trials:
        left = None if structures is None else structures - looked
        standing = Standing(trials if told else None, asked, workers, looked, left)
        dealt = deal(standing, None, 2)
        assert 1 <= dealt.quota.lanes <= dealt.quota.trials
        if dealt.new:
            assert left != 0
            looked += 1
        asked += min(dealt.quota.trials, trials - asked)
        found.append(looked)
    return found


def drawn(trials: int, structures: int) -> float:
    """Structures that so many trials have in expectation, each drawn by chance."""
    return structures * (1 - (1 - 1 / structures) ** trials)


@given(st.integers(1, 1000), st.integers(1, 16), st.integers(1, 200))
def test_a_sweep_looks_at_as_many_structures_as_trials_one_by_one(
    trials: int, workers: int, structures: int
) -> None:
    looked = looked_at(trials, workers, structures)[-1]
    # Half of the trials look at new ones, a few together, which find one each.
    assert looked == min(structures, math.ceil(trials / 2 / looks_of(trials)))
    # As many trials by chance, which repeat some, find fewer.
    assert looked >= drawn(math.ceil(trials / 2 / looks_of(trials)), structures) - 1e-9


@given(st.integers(1, 1000), st.integers(1, 8), st.integers(1, 200))
def test_the_first_cohorts_are_small_and_of_new_structures(
    trials: int, workers: int, structures: int
) -> None:
    looked = looked_at(trials, workers, structures)
    first = looked.index(looked[-1])
    assert looked[: first + 1] == list(range(1, looked[-1] + 1))
    lanes = looks_of(trials)
    assert 1 <= lanes <= 8
    assert trials < 64 or lanes >= 2


def test_what_leads_gets_room_as_long_as_there_is_some() -> None:
    lanes = [
        deal(Standing(30, asked, 2, 15, 12), None, 2).quota.lanes for asked in (15, 19, 23, 27, 29)
    ]
    assert lanes == [4, 4, 4, 3, 1]
    assert deal(Standing(10_000, 500, 2, 50, 0), None, 2).quota.lanes == 128
    assert deal(Standing(10_000, 500, 2, 50, 0), None, 2, UNMEASURED_LANES).quota.lanes == 32


@given(st.integers(40, 600), st.integers(1, 8))
def test_where_the_end_is_not_known_both_go_on(trials: int, workers: int) -> None:
    looked = looked_at(trials, workers, None, told=False)
    assert looked[-1] > looked[len(looked) // 2]
    assert looked[-1] < trials


def test_a_cohort_of_given_lanes_looks_at_new_structures_too() -> None:
    dealt = [deal(Standing(64, 8 * looked, 2, looked), 8, 2) for looked in range(8)]
    assert [each.new for each in dealt] == [True] * 4 + [False] * 4
    assert {each.quota for each in dealt} == {Quota(8, 16, 2)}


@given(counts, counts, st.integers(1, 5), st.integers(1, 200))
def test_refills_end_with_the_quota(trials: int, lanes: int, fillings: int, seed: int) -> None:
    quota = Quota(lanes, trials, fillings)
    alive = given = 0
    for turn in range(1000):
        more = refill(alive, given, lanes, quota)
        assert alive + more <= max(lanes, alive)
        given += more
        alive += more
        if not more and not alive:
            break
        alive -= min(alive, 1 + (seed * (turn + 1)) % max(lanes, 1))
    assert given <= min(trials, fillings * lanes)


@pytest.mark.parametrize(
    ("alive", "given", "wanted"), [(0, 0, 8), (8, 8, 0), (3, 8, 5), (3, 14, 2), (3, 16, 0)]
)
def test_room_is_filled_twice(alive: int, given: int, wanted: int) -> None:
    assert refill(alive, given, 8, Quota(8, 100, 2)) == wanted
