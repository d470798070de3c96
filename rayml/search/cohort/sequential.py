"""Trains the trials of a cohort one after another, where they cannot be lanes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from rayml.errors import CheckpointError, StorageError
from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.turn_client import ANY_TIME, TurnClient
from rayml.search.cohort.worker import (
    forget,
    report_of,
    require_objective,
    trial_of,
    write_held_out,
    write_weights,
)
from rayml.search.problem.trials import AskedTrial, Ended
from rayml.train.blame import explain
from rayml.train.build import build_loop, train_settings
from rayml.train.speed.process import reset_process

if TYPE_CHECKING:
    from rayml.train.trial_loop import TrialLoop

LAST = "last"


def train_trial(
    asked: AskedTrial, plan: CohortPlan, data: SweepData, study: Any, turn: TurnClient = ANY_TIME
) -> None:
    """Train one trial until it is finished or pruned; any error in it makes it FAIL.

    Args:
        asked: the trial.
        plan: of the sweep.
        data: of the sweep.
        study: handle of the study's actor.
        turn: in which the study is called.

    Raises:
        RayError: the study does not answer, which no trial can mend.
        StorageError: the disk takes no more.
    """
    folder = plan.trials / str(asked.number)
    try:
        loop = _start(asked, plan, data, folder)
        # If not, an earlier worker finished it and died before Tune knew: its weights stay.
        if ray.get(study.begin.remote([(asked.number, loop.epoch)]))[0]:
            reason = _epochs(asked.number, loop, plan.objective.metric, folder, study, turn)
            write_weights(loop.best_weights(), folder)
            write_held_out(loop.held_out(), folder)
            ended = Ended(asked.number, "PRUNED" if reason else "COMPLETE", reason)
            with turn.taken():
                ray.get(study.tell.remote([ended]))
    except (RayError, StorageError):
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        with turn.taken():
            ray.get(study.tell.remote([Ended(asked.number, "FAIL", explain(error))]))
    forget(folder / LAST)


def _start(asked: AskedTrial, plan: CohortPlan, data: SweepData, folder: Path) -> TrialLoop:
    """A fresh training loop, or one that goes on where a dead worker left it."""
    config = trial_of(asked.params, plan)
    reset_process(train_settings(config["train"]), deterministic=plan.search.deterministic)
    loop = build_loop(
        config,
        train=data.train,
        validation=data.validation,
        shape=data.shape,
        target=data.target,
        threads=plan.threads,
        folds=data.folds,
    )
    require_objective(loop.task, plan)
    if (folder / LAST).is_dir():
        try:
            loop.restore(folder / LAST)
        except CheckpointError:
            # The machine may have died while it was written; from the start costs time only.
            shutil.rmtree(folder / LAST)
    return loop


def _epochs(
    number: int, loop: TrialLoop, metric: str, folder: Path, study: Any, turn: TurnClient
) -> str:
    """Train and report until the trial is finished.

    Returns:
        Why it was stopped before; empty if it was not.
    """
    while not loop.finished:
        result = loop.run_epoch()
        with turn.taken():
            report = report_of(number, result, metric, loop.parameters)
            (decision,) = ray.get(study.report.remote([report]))
        if decision.action == "prune" and not loop.finished:
            return str(decision.reason)
        # After the report: an epoch that a dead worker had not saved is redone and reported
        # again, which the study expects; one that it had not reported would be missing.
        if not loop.finished:
            loop.save(folder / LAST)
    return ""
