"""A sweep in virtual time: the real study decides, and a surrogate stands in for training.

`simulate` drives `Study` as cohorts do: a worker asks one trial, asks others with the same
structural values into its remaining lanes, reports all lanes after each epoch, and fills the
lanes that become free. A cohort's epoch lasts as long as that of its slowest lane. When a cohort
has ended, its worker asks for another, of any structure.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rayml.search.problem.trials import AskedTrial, Report
from rayml.search.pruning.quota import Quota
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from rayml.types import Direction
from tests.search.plans import study_plan, tell


@dataclass(frozen=True)
class Curve:
    """What a trial would measure after each epoch, and the virtual seconds that each takes."""

    values: Sequence[float]
    seconds: float = 1.0


class Objective(Protocol):
    """What is searched without training.

    Attributes:
        tree: of the space, as `Space.parse` reads it.
        structural: keys whose values the lanes of a cohort share.
        epochs: of a trial that is never stopped.
        direction: of the values.
    """

    tree: Mapping[str, Any]
    structural: Sequence[str]
    epochs: int
    direction: Direction

    def curve(self, params: Mapping[str, Any]) -> Curve:
        """The learning curve of a trial."""


@dataclass(frozen=True)
class History:
    """A simulated sweep, one entry an epoch in the order of virtual time.

    Attributes:
        best: best value of any trial up to then.
        trials: finished by then.
        seconds: virtual time.
        wall: seconds that the simulation itself took.
    """

    best: np.ndarray
    trials: np.ndarray
    seconds: np.ndarray
    wall: float


@dataclass
class _Lane:
    number: int
    params: Mapping[str, Any]
    curve: Curve
    epoch: int = 0


def open_study(
    journal: Path,
    objective: Objective,
    *,
    trials: int,
    seed: int,
    sampler: SamplerSettings,
    pruner: PrunerSettings,
    workers: int = 1,
) -> Study:
    """A study of an objective on a journal that does not exist yet."""
    plan = study_plan(
        name="simulated",
        journal=journal,
        space=Space.parse(objective.tree),
        trial={},
        metric="value",
        direction=objective.direction,
        trials=trials,
        max_epochs=objective.epochs,
        started=time.time(),
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        workers=workers,
    )
    return Study(plan)


def simulate(
    study: Study,
    objective: Objective,
    *,
    workers: int = 1,
    lanes: int = 1,
    fillings: int | None = None,
    max_epochs: int | None = None,
    watch: Callable[[int], None] = lambda finished: None,
) -> History:
    """Run a study until its trials, or so many epochs in all, are spent.

    Args:
        study: asked, reported to and told.
        objective: gives the curves.
        workers: cohorts at a time.
        lanes: trials of a cohort at a time; 0 takes those that the study deals.
        fillings: a cohort asks so many times its lanes, then it ends with those that run; None
            lets it ask for ever, so that its structure stays for the whole sweep.
        max_epochs: over all trials.
        watch: called with the number of finished trials after each of a cohort's epochs.
    """
    start = time.perf_counter()
    sign = 1.0 if objective.direction == "minimize" else -1.0
    best, finished, track = np.inf, 0, []
    cohorts: dict[int, list[_Lane]] = {worker: [] for worker in range(workers)}
    left, room = dict.fromkeys(cohorts, 0), dict.fromkeys(cohorts, 0)
    order = itertools.count()
    queue = [(0.0, next(order), worker) for worker in range(workers)]
    while queue and (max_epochs is None or len(track) < max_epochs):
        clock, _, worker = heapq.heappop(queue)
        running = []
        for lane, ended in _report(study, objective, cohorts[worker]):
            best = min(best, sign * lane.curve.values[lane.epoch - 1])
            finished += ended
            track.append((sign * best, finished, clock))
            if not ended:
                running.append(lane)
        watch(finished)
        if not running and not lanes:
            asked, quota = _open(study, objective)
            room[worker], left[worker] = quota.lanes, quota.trials
        else:
            if not running:
                room[worker], left[worker] = lanes, lanes * fillings if fillings else sys.maxsize
            asked = _ask(study, objective, running, min(room[worker] - len(running), left[worker]))
        left[worker] -= len(asked)
        cohorts[worker] = running + asked
        if cohorts[worker]:
            seconds = max(lane.curve.seconds for lane in cohorts[worker])
            heapq.heappush(queue, (clock + seconds, next(order), worker))
    values, ends, seconds = (np.array(column) for column in zip(*track, strict=True))
    return History(values, ends, seconds, time.perf_counter() - start)


def _open(study: Study, objective: Objective) -> tuple[list[_Lane], Quota]:
    """A cohort as the study deals it, with all of its first lanes."""
    given = study.next_cohort(tune_trial=uuid.uuid4().hex)
    assert given is not None
    number, asked = given
    quota = study.opening(number).quota
    if not asked:
        return [], quota
    study.classify({key: key in objective.structural for key in asked[0].params})
    first = [_Lane(each.number, each.params, objective.curve(each.params)) for each in asked]
    return first + _ask(study, objective, first, quota.lanes - 1), quota


def _ask(study: Study, objective: Objective, running: list[_Lane], free: int) -> list[_Lane]:
    asked: list[AskedTrial] = []
    if not running:
        asked, free = study.ask(1), free - 1
        if not asked:
            return []
        shared: Mapping[str, Any] = asked[0].params
    else:
        shared = running[0].params
    if free:
        fixed = {key: shared[key] for key in objective.structural if key in shared}
        asked += study.ask(free, fixed)
    return [_Lane(trial.number, trial.params, objective.curve(trial.params)) for trial in asked]


def _report(study: Study, objective: Objective, lanes: list[_Lane]) -> list[tuple[_Lane, bool]]:
    """Let lanes finish an epoch, and report it as a cohort does.

    Returns:
        Each lane, and whether its trial has ended.
    """
    reports = []
    for lane in lanes:
        lane.epoch += 1
        value = float(lane.curve.values[lane.epoch - 1])
        reports.append(Report(lane.number, lane.epoch, value, {"value": value}, 0.0, 0.0, 1))
    found = []
    for lane, decision in zip(lanes, study.report(reports), strict=True):
        if lane.epoch == objective.epochs:
            pick = min if objective.direction == "minimize" else max
            tell(study, lane.number, "COMPLETE", pick(lane.curve.values))
        elif decision.action == "prune":
            tell(study, lane.number, "PRUNED", reason=decision.reason)
        else:
            found.append((lane, False))
            continue
        found.append((lane, True))
    return found
