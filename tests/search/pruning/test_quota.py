"""How trials are dealt to cohorts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.pruning.quota import Quota, quota_of, refill

counts = st.integers(1, 10_000)


@given(counts, st.integers(1, 64), st.none() | st.integers(1, 256), st.integers(1, 5))
def test_a_cohort_takes_a_share_and_every_worker_gets_two(
    trials: int, workers: int, lanes: int | None, fillings: int
) -> None:
    quota = quota_of(trials, workers, lanes, fillings)
    assert 1 <= quota.lanes <= quota.trials
    if lanes is None:
        # All the trials, and no cohort more than is needed for that.
        assert quota.trials * max(4, 2 * workers) >= trials
        assert (quota.trials - 1) * max(4, 2 * workers) < trials
    else:
        assert quota.lanes == lanes


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
