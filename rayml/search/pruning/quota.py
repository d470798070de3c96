"""How the trials of a sweep are dealt to cohorts: a policy of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

# A sweep looks at no fewer structures than so many, if it has the trials.
_COHORTS = 4
# Where a GPU could hold more, the gain is small and the search waits longer for its results.
_MOST_LANES = 128
# Where they are not measured: on a CPU more are seldom faster, and memory for so many is there.
UNMEASURED_LANES = 32


@dataclass(frozen=True, slots=True)
class Quota:
    """What a cohort may take.

    Attributes:
        lanes: trials at a time at most.
        trials: altogether at most.
        fillings: how many times the lanes that it holds it is given, refills included.
    """

    lanes: int
    trials: int
    fillings: int = 1


def quota_of(
    trials: int, workers: int, lanes: int | None, fillings: int, most: int = _MOST_LANES
) -> Quota:
    """Deal a sweep's trials to cohorts.

    Larger cohorts train faster, and all trials of one share their structure: so that the search
    still compares structures, a cohort takes a quarter of the trials at most, and every worker is
    given two in turn.

    Args:
        trials: budget of the sweep.
        workers: cohorts that train at a time.
        lanes: of a cohort as the user sets them; None leaves them to be chosen.
        fillings: how many times its lanes a cohort is given.
        most: lanes of a cohort at most, where the user does not set them.
    """
    share = max(1, -(-trials // max(_COHORTS, 2 * workers)))
    if lanes is not None:
        return Quota(lanes, max(lanes, share), fillings)
    return Quota(min(share, most), share, fillings)


def refill(alive: int, given: int, lanes: int, quota: Quota) -> int:
    """How many trials a cohort asks for.

    Args:
        alive: lanes that still train.
        given: trials that the cohort was given so far.
        lanes: that it holds at most.
        quota: of the cohort.
    """
    return max(0, min(lanes - alive, left(given, lanes, quota)))


def left(given: int, lanes: int, quota: Quota) -> int:
    """How many trials a cohort is still to be given; see `refill`."""
    return max(0, min(quota.trials, quota.fillings * lanes) - given)
