"""A sweep from its plan to its best trial."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.tune import TuneError

from rayml.errors import SearchError, StorageError
from rayml.search.checks import component_checks, goals_of, search_checks
from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.tuning import concurrency, run_cohorts
from rayml.search.cohort.worker import WEIGHTS
from rayml.search.journal.database_mirror import check_storage, mirroring
from rayml.search.problem.goals import Goals
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.sweep_plan import COHORTS, JOURNAL, SPACE, TIMINGS, TRIALS, SweepPlan
from rayml.search.problem.trials import FinishedTrial, Progress, Resumed
from rayml.search.results.progress import View
from rayml.search.sampling.warm_start import read_history
from rayml.search.space.fit import check_fit
from rayml.search.space.suggestions import adopt_suggestions
from rayml.search.study.claim import require_free
from rayml.search.study.study_actor import start_study
from rayml.search.tracking.recording import recording
from rayml.search.tracking.tracker import start_trackers
from rayml.search.tracking.watching import watching
from rayml.storage.disk import make_folder, write
from rayml.tasks.objectives import Objective
from rayml.types import TaskName


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        folder: where everything of it lies.
        objective: what was optimised first.
        best: the best trial; its value is that of its best epoch.
        weights: safetensors file of the best trial's best epoch.
        progress: counts of trials, at the end.
        timings: seconds by name: `first_epoch` from the start until one was trained, `total`,
            both wall-clock; `train` and `eval`, added over the workers; `idle`, in which the
            workers did neither after the first epoch.
    """

    folder: Path
    objective: Objective
    best: FinishedTrial
    weights: Path
    progress: Progress
    timings: Mapping[str, float]


def check_sweep(plan: SweepPlan, task: TaskName) -> Goals:
    """Check all that can be checked before anything is spent.

    Returns:
        What the sweep seeks.

    Raises:
        InvalidConfigError: the space does not fit the trial config, each key named.
        ConfigError: the metric, a further objective, a constraint, the sampler or the pruner is
            wrong, or a tracker is not installed.
        SearchError: a sweep of that name exists, or one that it starts from cannot be used.
    """
    check_fit(plan.space, plan.trial)
    for checks in (search_checks, component_checks):
        for _, check in checks(plan.search, plan.space, plan.trial):
            check()
    require_free(plan.folder, resume=plan.resume)
    if plan.search.storage is not None:
        check_storage(plan.search.storage, plan.name, resume=plan.resume)
    return goals_of(plan.trial["task"], task, plan.search)


def run_sweep(
    plan: SweepPlan, data: SweepData, *, goals: Goals | None = None, view: View | None = None
) -> SweepResult:
    """Search until a budget is spent.

    Args:
        plan: of the sweep.
        data: that every trial trains on.
        goals: what `check_sweep` gave; None checks the plan.
        view: what shows the progress; None shows nothing.

    Raises:
        ConfigError: see `check_sweep`; or the cluster cannot hold a trial.
        SearchError: the sweep exists, no trial has a value, or the study was lost.
        StorageError: a disk takes no more; a resumed sweep goes on from there.
        KeyboardInterrupt: the user interrupted it; what finished stays in the sweep's folder.
    """
    started = time.time()
    goals = goals or check_sweep(plan, data.target.task)
    workers = concurrency(plan)
    make_folder(plan.folder / TRIALS)
    write(plan.folder / SPACE, json.dumps(plan.space.tree(), indent=2))
    # A sweep that goes on is not over, which this file says.
    (plan.folder / TIMINGS).unlink(missing_ok=True)
    cohorts = _cohort_plan(plan, goals.first)
    trackers = start_trackers(plan.search.tracking, plan.name, plan.folder)
    with _hosted(_study_plan(plan, goals, started, workers), resume=plan.resume) as study:
        found: Resumed = ray.get(study.resumed.remote())
        with (
            watching(study, view, found.done),
            mirroring(plan.folder / JOURNAL, plan.search.storage),
            recording(study, trackers),
        ):
            run_cohorts(plan, cohorts, data, study, workers)
        _require_not_halted(ray.get(study.halted.remote()), plan.name)
        progress: Progress = ray.get(study.snapshot.remote())
    best = _best(progress)
    timings = _timings(progress, workers)
    write(plan.folder / TIMINGS, json.dumps(timings, indent=2))
    weights = plan.folder / TRIALS / str(best.number) / WEIGHTS
    return SweepResult(plan.folder, goals.first, best, weights, progress, timings)


def _study_plan(plan: SweepPlan, goals: Goals, started: float, workers: int) -> StudyPlan:
    first = goals.first
    own = adopt_suggestions(plan.search.suggestions, plan.space, plan.trial).fitting
    history = read_history(plan.warm_start, plan.space, plan.trial, first.metric, first.direction)
    return StudyPlan(
        name=plan.name,
        journal=(plan.folder / JOURNAL).resolve(),
        space=plan.space,
        trial=plan.trial,
        goals=goals,
        search=plan.search,
        seed=plan.seed,
        started=started,
        session=uuid.uuid4().hex,
        history=replace(history, suggestions=(*own, *history.suggestions)),
        workers=workers,
        slots=workers if plan.search.deterministic else None,
    )


def _cohort_plan(plan: SweepPlan, goal: Objective) -> CohortPlan:
    return CohortPlan(
        trial=plan.trial,
        objective=goal,
        space=plan.space,
        trials=(plan.folder / TRIALS).resolve(),
        cohorts=(plan.folder / COHORTS).resolve(),
        search=plan.search,
        seed=plan.seed,
    )


@contextmanager
def _hosted(plan: StudyPlan, *, resume: bool) -> Iterator[Any]:
    """The study's actor for as long as the context lasts; its journal is written at the end."""
    study = start_study(plan, resume=resume)
    try:
        yield study
        ray.get(study.close.remote())
    except (RayError, TuneError) as error:
        # Any caller may be the first to meet its death, Tune included, which wraps the error.
        if _answers(study):
            raise
        raise SearchError(
            f"the process of the study of {plan.name} died ({_cause(error)})",
            remedy=f"What finished is in {plan.journal}; go on with"
            f" `rayml sweep resume={plan.name}`",
        ) from error
    finally:
        ray.kill(study)


def _require_not_halted(reason: str, name: str) -> None:
    if reason:
        raise StorageError(
            f"sweep {name} stops: {reason}",
            remedy=f"Then `rayml sweep resume={name}` goes on; nothing that finished is lost",
        )


def _answers(study: Any) -> bool:
    try:
        ray.get(study.snapshot.remote())
    except RayActorError:
        return False
    return True


def _cause(error: BaseException) -> str:
    """The last line of Ray's message: the error that ended the process, if one did."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _best(progress: Progress) -> FinishedTrial:
    if progress.best is not None:
        return progress.best
    reasons = Counter(trial.reason for trial in progress.finished)
    if not reasons:
        raise SearchError(
            f"no trial ended within search.seconds={progress.seconds:g}"
            if progress.seconds is not None
            else "no trial was asked before the budget was spent",
            remedy="Raise the budget",
        )
    reason, times = reasons.most_common(1)[0]
    raise SearchError(
        f"all {progress.done} trials failed, {times} of them for this reason: {reason}",
        remedy="Remove the cause and start again under a new search.name",
    )


def _timings(progress: Progress, workers: int) -> dict[str, float]:
    first = progress.first_epoch or progress.elapsed
    busy = progress.train_seconds + progress.eval_seconds
    return {
        "first_epoch": first,
        "total": progress.elapsed,
        "train": progress.train_seconds,
        "eval": progress.eval_seconds,
        "idle": max(workers * (progress.elapsed - first) - busy, 0.0),
    }
