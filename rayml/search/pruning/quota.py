"""How the trials of a sweep are dealt to cohorts: a policy of plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rayml.settings.search import SearchSettings

# A population, or a cohort of so many lanes as the user sets, takes a quarter of the trials at
# most, so that a sweep compares structures.
_COHORTS = 4
# Where a GPU could hold more, the gain is small and the search waits longer for its results.
_MOST_LANES = 128
# Where they are not measured: on a CPU more are seldom faster, and memory for so many is there.
UNMEASURED_LANES = 32
# Trials that look at a structure for the first time, together, at most.
_MOST_LOOKS = 8
# Fewer lanes together are not much faster than one after another.
_LEAST_LANES = 4
# Of the trials, those that may look at structures for the first time.
_LOOKING = 0.5
# A sweep that may end at any time is taken to have as many trials before it as behind it, and at
# least so many.
_LEAST_TRIALS = 32


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


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a sweep has come when it opens another cohort.

    Attributes:
        trials: that it will have; None where that is not known.
        asked: trials so far.
        workers: cohorts that train at a time.
        looked: structures that trials have.
        left: structures that no trial has; None where they are without end or not known.
    """

    trials: int | None
    asked: int
    workers: int
    looked: int = 0
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Deal:
    """What a worker that is free trains next.

    Attributes:
        new: a structure that no trial has; if not, the one that the sampler proposes.
        quota: of the cohort.
    """

    new: bool
    quota: Quota


def deal(standing: Standing, lanes: int | None, fillings: int, most: int = _MOST_LANES) -> Deal:
    """Deal a sweep's trials to its next cohort.

    Larger cohorts train faster, and all trials of one share their structure. So half of the
    trials look at structures for the first time, a few lanes each (one while a sweep has fewer
    than 64 trials, `_MOST_LOOKS` at most), until there are no new ones. The structures of the
    other half are the sampler's, which by then has compared many, and their cohorts are large:
    every worker is given two in turn of the trials that are left, so that they become smaller,
    as long as they are not much slower for that.

    Args:
        standing: of the sweep.
        lanes: of a cohort as the user sets them; None leaves them to be chosen.
        fillings: how many times its lanes a cohort is given.
        most: lanes of a cohort at most, where the user does not set them.
    """
    trials = standing.trials or max(2 * standing.asked, _LEAST_TRIALS)
    looks = looks_of(trials) if lanes is None else lanes
    new = standing.left != 0 and standing.looked * looks < _LOOKING * trials
    if lanes is not None:
        return Deal(new, quota_of(trials, standing.workers, lanes, fillings))
    if new:
        return Deal(new, Quota(min(looks, most), min(looks, most)))
    rest = max(trials - standing.asked, 1)
    share = max(-(-rest // (2 * standing.workers)), min(_LEAST_LANES, rest))
    return Deal(new, Quota(min(share, most), share, fillings))


def deal_by(search: SearchSettings, standing: Standing) -> Deal:
    """Deal by a search's settings, see `deal`."""
    lanes = None if search.cohort.lanes == "auto" else search.cohort.lanes
    most = UNMEASURED_LANES if search.deterministic else _MOST_LANES
    return deal(standing, lanes, search.cohort.fillings, most)


def looks_of(trials: int) -> int:
    """How many of a sweep's trials look at a structure for the first time, together."""
    return min(max(math.isqrt(trials) // 4, 1), _MOST_LOOKS)


def quota_of(trials: int, workers: int, lanes: int, fillings: int) -> Quota:
    """The quota of cohorts of so many lanes as the user sets.

    Args:
        trials: budget of the sweep.
        workers: cohorts that train at a time.
        lanes: of a cohort.
        fillings: how many times its lanes a cohort is given.
    """
    share = max(1, -(-trials // max(_COHORTS, 2 * workers)))
    return Quota(lanes, max(lanes, share), fillings)


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
