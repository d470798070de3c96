"""Ray Tune as the engine of a sweep: places cohorts, restarts them, reuses their workers."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray import tune

from rayml.cluster.resources import machines, total_resources
from rayml.errors import ConfigError
from rayml.interrupts import keeping_handlers
from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.searcher import StudySearcher, WorkerDeaths
from rayml.search.cohort.trainable import train_cohort
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.settings.search import ResourceSettings

_FOLDER = ".tune"
# Tune reads these when it starts a run.
_ENVIRONMENT = {
    # The newer output prints a header even when `verbose` is 0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The TensorBoard logger would import PyTorch in the driver.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The user's relative paths keep their meaning.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Snapshots of Tune's own state, which nothing reads.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    # It would wait for the workers to end their epochs; they end with Ray, and the journal has all.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


def concurrency(plan: SweepPlan) -> int:
    """Trials in progress at most: the plan's number, or what the cluster has room for.

    Raises:
        ConfigError: the cluster, or each of its nodes, cannot hold a single trial.
    """
    cluster, trial = total_resources(), plan.search.resources
    room = cluster.holds(cpus=trial.cpu, gpus=trial.gpu)
    if room < 1 or (plan.search.deterministic and not _places(trial)):
        raise ConfigError(
            f"a trial takes {trial.cpu:g} CPUs and {trial.gpu:g} GPUs, and the cluster has"
            f" {cluster.cpus:g} and {cluster.gpus:g}"
            + (" on no single machine" if room >= 1 else ""),
            remedy="Lower search.resources, or add a machine",
        )
    most = plan.search.concurrency or room
    if plan.search.deterministic:
        # Cohorts wait for one another's turns, so each of them must find a place.
        most = min(most, _places(trial))
    return most if plan.search.trials is None else min(most, plan.search.trials)


def _places(trial: ResourceSettings) -> int:
    """Trials that the machines hold at a time, each on one of them."""
    return sum(each.resources.holds(cpus=trial.cpu, gpus=trial.gpu) for each in machines())


def run_cohorts(
    plan: SweepPlan, cohorts: CohortPlan, data: SweepData, study: Any, workers: int
) -> None:
    """Train cohorts until the study proposes no more.

    Raises:
        KeyboardInterrupt: the user interrupted it; workers end with Ray.
    """
    trainable = tune.with_parameters(train_cohort, plan=cohorts, data=data, study=study)
    resources = {"CPU": plan.search.resources.cpu, "GPU": plan.search.resources.gpu}
    tuner = tune.Tuner(
        tune.with_resources(trainable, {name: n for name, n in resources.items() if n}),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study),
            num_samples=-1,
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=_FOLDER,
            storage_path=str(plan.folder.resolve()),
            failure_config=tune.FailureConfig(max_failures=plan.search.max_failures),
            callbacks=[WorkerDeaths(study)],
            verbose=0,
        ),
    )
    try:
        with _quiet(), keeping_handlers():
            tuner.fit()
    except KeyboardInterrupt as interrupted:
        # Its frames hold Tune's handles of the workers, whose processes and CPUs go with those.
        traceback.clear_frames(interrupted.__traceback__)
        gc.collect()
        raise
    finally:
        # What Tune leaves there is pickled, and nothing reads it.
        shutil.rmtree(plan.folder / _FOLDER, ignore_errors=True)


def _name(trial: Any) -> str:
    return f"cohort_{trial.trial_id}"


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("ray.tune")
    level = logger.level
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    # The view shows failures, in one line each.
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        _restore(before)


def _restore(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
