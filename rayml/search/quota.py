"""How the trials of a sweep are dealt to cohorts: a policy of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

# A sweep looks at no fewer structures than so many, if it has the trials.
_COHORTS = 4
# A cohort is refilled until it has trained so many times the lanes that it holds.
_REFILLS = 4
# Where a GPU could hold more, the gain is small and the search waits longer for its results.
_MOST_LANES = 128
# Where they are not measured: on a CPU more are seldom faster, and memory for so many is there.
UNMEASURED_LANES = 32


@dataclass(frozen=True, slots=True)
class Quota:
    """What a cohort may take.

    Attributes:
        lanes: trials at a time at most.
        trials: altogether, refills included.
    """

    lanes: int
    trials: int


def quota_of(trials: int, workers: int, lanes: int | None, most: int = _MOST_LANES) -> Quota:
    """Deal a sweep's trials to cohorts.

    Larger cohorts train faster, and all trials of one share their structure: so that the search
    still compares structures, a cohort takes a quarter of the trials at most, and every worker is
    given two in turn.

    Args:
        trials: budget of the sweep.
        workers: cohorts that train at a time.
        lanes: of a cohort as the user sets them; None leaves them to be chosen.
        most: lanes of a cohort at most, where the user does not set them.
    """
    if lanes is not None:
        return Quota(lanes, _REFILLS * lanes)
    share = max(1, -(-trials // max(_COHORTS, 2 * workers)))
    most = min(share, most)
    return Quota(most, min(share, _REFILLS * most))


def refill(alive: int, given: int, lanes: int, quota: Quota) -> int:
    """How many trials a cohort asks for.

    Args:
        alive: lanes that still train.
        given: trials that the cohort was given so far.
        lanes: that it holds at most.
        quota: of the cohort.
    """
    return max(0, min(lanes - alive, quota.trials - given))
