"""A sweep from its plan to its best trial."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.tune import TuneError

from rayml.errors import ConfigError, SearchError, StorageError
from rayml.search.cohort.plan import CohortPlan, SweepData, SweepPlan
from rayml.search.cohort.population import check_population
from rayml.search.cohort.tuning import concurrency, run_cohorts
from rayml.search.cohort.worker import WEIGHTS
from rayml.search.journal.database_mirror import check_storage, mirroring
from rayml.search.journal.replay import Resumed
from rayml.search.problem.budget import check_cost, cost_per_second
from rayml.search.problem.determinism import check_deterministic
from rayml.search.problem.fit import check_fit
from rayml.search.problem.goals import Goals, check_goals_of_sampler, choose_goals
from rayml.search.problem.space import Space, lookup
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import FinishedTrial, Progress
from rayml.search.pruning.quota import UNMEASURED_LANES, quota_of
from rayml.search.results.progress import View
from rayml.search.sampling.samplers import check_sampler
from rayml.search.sampling.warm_start import read_history
from rayml.search.study.claim import require_free
from rayml.search.study.study_actor import start_study
from rayml.search.tracking.recording import recording
from rayml.search.tracking.tracker import check_tracking, start_trackers
from rayml.search.tracking.watching import watching
from rayml.storage.disk import make_folder, write
from rayml.tasks.objectives import Objective
from rayml.train.trial import known_metrics, objective
from rayml.types import TaskName

JOURNAL = "journal.log"
SPACE = "space.json"
TRIALS = "trials"
COHORTS = "cohorts"
TIMINGS = "timings.json"
_EPOCHS = "train.epochs"


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


def check_sweep(plan: SweepPlan, task: TaskName) -> Objective:
    """Check all that can be checked before anything is spent.

    Returns:
        What the sweep will optimise first.

    Raises:
        InvalidConfigError: the space does not fit the trial config, each key named.
        ConfigError: the metric, a further objective, a constraint or the sampler is wrong, or a
            tracker is not installed.
        SearchError: a sweep of that name exists, or one that it starts from cannot be used.
    """
    check_fit(plan.space, plan.trial)
    check_sampler(plan.sampler, plan.space, plan.trial)
    check_tracking(plan.tracking)
    if plan.warm_start and plan.sampler.name == "grid":
        raise ConfigError(
            "a grid tries every point, which no history changes",
            found=[each.name for each in plan.warm_start],
            remedy="Leave search.warm_start out, or choose another search.sampler.name",
        )
    require_free(plan.folder, resume=plan.resume)
    if plan.storage is not None:
        check_storage(plan.storage, plan.name, resume=plan.resume)
    check_cost(plan.cost, plan.resources, plan.prices)
    check_goals_of_sampler(
        plan.sampler.name, objectives=1 + len(plan.objectives), constraints=len(plan.constraints)
    )
    if plan.deterministic:
        check_deterministic(
            seconds=plan.seconds,
            cost=plan.cost,
            objectives=[each.metric for each in plan.objectives],
            constraints=plan.constraints,
        )
    if plan.population is not None:
        check_population(
            plan.sampler.name, plan.pruner.name, plan.lanes, plan.trial["train"], plan.space.keys
        )
    return goals_of(plan, task).first


def goals_of(plan: SweepPlan, task: TaskName) -> Goals:
    """What a sweep seeks.

    Raises:
        ConfigError: the metric, a further objective or a constraint is wrong.
    """
    section = plan.trial["task"]
    first = objective(section, task)
    return choose_goals(first, known_metrics(section, task), plan.objectives, plan.constraints)


def run_sweep(plan: SweepPlan, data: SweepData, *, view: View | None = None) -> SweepResult:
    """Search until a budget is spent.

    Args:
        plan: of the sweep.
        data: that every trial trains on.
        view: what shows the progress; None shows nothing.

    Raises:
        ConfigError: see `check_sweep`; or the cluster cannot hold a trial.
        SearchError: the sweep exists, no trial came to a value, or the study was lost.
        StorageError: a disk takes no more; a resumed sweep goes on from there.
        KeyboardInterrupt: the user interrupted it; what finished stays in the sweep's folder.
    """
    started = time.time()
    goal = check_sweep(plan, data.target.task)
    workers = concurrency(plan)
    make_folder(plan.folder / TRIALS)
    write(plan.folder / SPACE, json.dumps(plan.space.tree(), indent=2))
    # A sweep that goes on is not over, which this file says.
    (plan.folder / TIMINGS).unlink(missing_ok=True)
    cohorts = _cohort_plan(plan, goal, workers)
    goals = goals_of(plan, data.target.task)
    trackers = start_trackers(plan.tracking, plan.name, plan.folder)
    with _hosted(_study_plan(plan, goals, started, workers), resume=plan.resume) as study:
        found: Resumed = ray.get(study.resumed.remote())
        with (
            watching(study, view, found.done),
            mirroring(plan.folder / JOURNAL, plan.storage),
            recording(study, trackers),
        ):
            run_cohorts(plan, cohorts, data, study, workers)
        _require_not_halted(ray.get(study.halted.remote()), plan.name)
        progress: Progress = ray.get(study.snapshot.remote())
    best = _best(progress)
    timings = _timings(progress, workers)
    write(plan.folder / TIMINGS, json.dumps(timings, indent=2))
    weights = plan.folder / TRIALS / str(best.number) / WEIGHTS
    return SweepResult(plan.folder, goal, best, weights, progress, timings)


def _study_plan(plan: SweepPlan, goals: Goals, started: float, workers: int) -> StudyPlan:
    return StudyPlan(
        name=plan.name,
        journal=(plan.folder / JOURNAL).resolve(),
        space=plan.space,
        config=plan.trial,
        metric=goals.first.metric,
        direction=goals.first.direction,
        objectives=goals.objectives[1:],
        constraints=goals.constraints,
        trials=plan.trials,
        seconds=plan.seconds,
        epochs=plan.epochs,
        cost=plan.cost,
        cost_per_second=cost_per_second(plan.resources, plan.prices),
        max_epochs=max_epochs(plan.space, plan.trial),
        sampler=plan.sampler,
        pruner=plan.pruner,
        seed=plan.seed,
        started=started,
        session=uuid.uuid4().hex,
        history=read_history(
            plan.warm_start, plan.space, plan.trial, goals.first.metric, goals.first.direction
        ),
        slots=workers if plan.deterministic else None,
    )


def _cohort_plan(plan: SweepPlan, goal: Objective, workers: int) -> CohortPlan:
    most = {"most": UNMEASURED_LANES} if plan.deterministic else {}
    return CohortPlan(
        trial=plan.trial,
        objective=goal,
        space=plan.space,
        trials=(plan.folder / TRIALS).resolve(),
        cohorts=(plan.folder / COHORTS).resolve(),
        quota=quota_of(plan.trials, workers, plan.lanes, plan.fillings, **most),
        measure=plan.lanes is None and not plan.deterministic,
        deterministic=plan.deterministic,
        population=plan.population,
        seed=plan.seed,
        pruner=plan.pruner,
        compile=plan.compile,
        threads=max(1, int(plan.resources.cpu)),
    )


def max_epochs(space: Space, config: Mapping[str, Any]) -> int:
    """The most epochs that a trial may train for."""
    most = [int(lookup(config, _EPOCHS))]
    for parameter in space.parameters:
        if parameter.key == _EPOCHS:
            searched = [int(value) for value in parameter.extremes() if value is not None]
            # Where its condition fails, a trial keeps what the config holds.
            most = most + searched if parameter.when else searched
    return max(most)


@contextmanager
def _hosted(plan: StudyPlan, *, resume: bool) -> Iterator[Any]:
    """The study's actor for as long as the context lasts; its journal is written at the end."""
    study = start_study(plan, resume=resume)
    try:
        yield study
        ray.get(study.close.remote())
    except (RayError, TuneError) as error:
        # Whoever asks it first meets its death, be it Tune, which wraps it.
        if _answers(study):
            raise
        raise SearchError(
            f"a sweep goes on while its study lives, and its process died ({_cause(error)})",
            found=plan.name,
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
    """The last line of what Ray tells, which is the error that ended the process, if one did."""
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
            "a sweep needs time for a trial", found=progress.seconds, remedy="Raise search.seconds"
        )
    reason, times = reasons.most_common(1)[0]
    raise SearchError(
        f"at least one trial must succeed, all {progress.done} failed; {times} times so: {reason}",
        remedy="Mend the cause and start again under a new search.name",
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
