"""What runs in a Ray Tune trial: a cohort of the study's trials, trained and reported.

Ray Tune places this function, gives it its worker, which later cohorts use again, and starts
it anew when that worker dies. Everything else is the study's: it is told of each epoch and
decides who goes on. Checkpoints are rayml's own.
"""

from __future__ import annotations

import random
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.exceptions import RayError

from rayml.errors import CheckpointError, SearchError
from rayml.models.objectives import PARAMETERS
from rayml.search.parameter import Params
from rayml.search.plan import CohortPlan, SweepData
from rayml.search.trials import AskedTrial
from rayml.train.trial import apply, build_loop, train_settings
from rayml.types import TrainSettings

if TYPE_CHECKING:
    from rayml.train.loop import TrainingLoop

LAST = "last"
WEIGHTS = "best.safetensors"


def train_cohort(
    config: Mapping[str, Any], *, plan: CohortPlan, data: SweepData, study: Any
) -> None:
    """Train the trials that the searcher asked for; the Ray Tune trainable.

    Args:
        config: of the Tune trial: under `trials` the number and values of each trial.
        plan: of the sweep.
        data: of the sweep, its arrays in shared memory.
        study: handle of the study's actor.
    """
    for asked in asked_trials(config):
        train_trial(asked, plan, data, study)


def cohort_config(trials: list[AskedTrial]) -> dict[str, Any]:
    """The Tune config of a cohort."""
    return {"trials": [{"number": each.number, "params": dict(each.params)} for each in trials]}


def asked_trials(config: Mapping[str, Any]) -> list[AskedTrial]:
    """The inverse of `cohort_config`."""
    return [AskedTrial(each["number"], each["params"]) for each in config["trials"]]


def train_trial(asked: AskedTrial, plan: CohortPlan, data: SweepData, study: Any) -> None:
    """Train one trial until it is finished or pruned; whatever goes wrong in it makes it FAIL.

    Raises:
        RayError: the study does not answer, which no trial can mend.
    """
    folder = plan.trials / str(asked.number)
    try:
        loop = _start(asked.params, plan, data, folder)
        # If not, an earlier worker finished it and died before Tune knew: its weights stay.
        if ray.get(study.begin.remote(asked.number, loop.epoch)):
            reason = _epochs(asked.number, loop, plan.objective.metric, folder, study)
            _write_weights(loop, folder)
            state = "PRUNED" if reason else "COMPLETE"
            value = loop.best.value if loop.best else None
            ray.get(study.tell.remote(asked.number, state, value, reason))
    except RayError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        ray.get(study.tell.remote(asked.number, "FAIL", reason=_explain(error)))
    shutil.rmtree(folder / LAST, ignore_errors=True)


def _start(params: Params, plan: CohortPlan, data: SweepData, folder: Path) -> TrainingLoop:
    """A fresh training loop, or one that goes on where a dead worker left it."""
    config = apply(plan.trial, params)
    _reset_process(train_settings(config["train"]))
    loop = build_loop(
        config,
        train=data.train,
        validation=data.validation,
        shape=data.shape,
        target=data.target,
    )
    if (loop.task.metric, loop.task.direction) != (plan.objective.metric, plan.objective.direction):
        raise SearchError(
            f"every trial optimises the sweep's {plan.objective.metric}",
            value=loop.task.metric,
            remedy="Do not search keys of `task` that change the metric",
        )
    if (folder / LAST).is_dir():
        _restore(loop, folder / LAST)
    return loop


def _restore(loop: TrainingLoop, folder: Path) -> None:
    try:
        loop.restore(folder)
    except CheckpointError:
        # The machine may have died while it was written; from the start costs time only.
        shutil.rmtree(folder)


def _epochs(number: int, loop: TrainingLoop, metric: str, folder: Path, study: Any) -> str:
    """Train and report until the trial is finished.

    Returns:
        Why it was stopped before; empty if it was not.
    """
    while not loop.finished:
        result = loop.run_epoch()
        decision = ray.get(
            study.report.remote(
                number,
                result.epoch,
                result.metrics[metric],
                {"train_loss": result.loss, PARAMETERS: loop.parameters, **result.metrics},
                train_seconds=result.train_seconds,
                eval_seconds=result.eval_seconds,
            )
        )
        if decision.action == "prune" and not loop.finished:
            return str(decision.reason)
        # After the report: an epoch that a dead worker had not saved is redone and reported
        # again, which the study expects; one that it had not reported would be missing.
        if not loop.finished:
            loop.save(folder / LAST)
    return ""


def _write_weights(loop: TrainingLoop, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{WEIGHTS}.partial"
    save_file(
        {name: each.cpu().contiguous() for name, each in loop.best_weights().items()}, partial
    )
    partial.replace(folder / WEIGHTS)


def _reset_process(settings: TrainSettings) -> None:
    """Undo what an earlier trial of this worker may have left behind."""
    import torch

    random.seed(settings.seed)
    np.random.seed(settings.seed % 2**32)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.set_default_dtype(torch.float32)


def _explain(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}, in {last.name}: {last.line}"
    return f"{type(error).__name__}: {error} ({where})"
