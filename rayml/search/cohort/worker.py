"""What a cohort's worker does for single trials: builds, reports, and keeps their weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ray.exceptions import RayError

from rayml.config.components.build import named_targets, names_target
from rayml.errors import SearchError, StorageError
from rayml.search.cohort.plan import CohortPlan
from rayml.search.problem.trials import Report
from rayml.search.space.parameter import Params
from rayml.storage.disk import make_folder, write
from rayml.tasks.objectives import PARAMETERS
from rayml.train.blame import explain
from rayml.train.build import apply

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.tasks.task import Task
    from rayml.train.loop.results import EpochResult

WEIGHTS = "best.safetensors"
HELD_OUT = "held_out.safetensors"
_OUTPUTS = "outputs"
_MOST_OUTPUTS = 5_000_000  # of a trial that are kept

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why trials that were to train together cannot, on one line."""

    reason: str


def attempt(work: Callable[[], T]) -> T | Refusal:
    """Run the user's modules as lanes; an error of theirs is a reason to train alone.

    Trained alone, each trial fails with its own error, if it has one. A raised error would meet
    every new worker.

    Raises:
        RayError: the study does not answer, which no trial can mend.
        StorageError: the disk takes no more.
    """
    try:
        return work()
    except (RayError, StorageError):
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return Refusal(explain(error))


def trial_of(params: Params, plan: CohortPlan) -> dict[str, Any]:
    """The config of a trial.

    Raises:
        SearchError: its values, which a file may hold, name a component that the space does not.
    """
    ranges = {parameter.key: parameter for parameter in plan.space.parameters}
    for key, value in params.items():
        named = names_target(key) or any(True for _ in named_targets(value))
        if named and (key not in ranges or not ranges[key].contains(value)):
            raise SearchError(
                f"a stored trial names a component that the space does not, in {key}",
                found=value,
                remedy="Extend the sweep with that choice in its space, or start another one",
            )
    return apply(plan.trial, params)


def require_objective(task: Task, plan: CohortPlan) -> None:
    """Refuse a trial that optimises something else than the sweep.

    Raises:
        SearchError: it does.
    """
    if (task.metric, task.direction) != (plan.objective.metric, plan.objective.direction):
        raise SearchError(
            f"the trial optimises {task.metric}, and its sweep {plan.objective.metric}",
            remedy="Do not search keys of `task` that change the metric",
        )


def report_of(number: int, result: EpochResult, metric: str, parameters: int) -> Report:
    """The report of an epoch of a trial.

    Args:
        number: of the trial.
        result: of the epoch.
        metric: that is optimised first.
        parameters: weights of the model.
    """
    return Report(
        number,
        result.epoch,
        result.metrics[metric],
        {"train_loss": result.loss, PARAMETERS: parameters, **result.metrics},
        result.train_seconds,
        result.eval_seconds,
        result.steps,
    )


def write_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the weights of a trial's best epoch into its folder; they appear when complete.

    Raises:
        StorageError: the disk does not take them.
    """
    from safetensors.torch import save

    make_folder(folder)
    write(folder / WEIGHTS, save({k: each.cpu().contiguous() for k, each in weights.items()}))


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a trial's best epoch, from its folder.

    Raises:
        SearchError: they are gone or torn.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise SearchError(
            f"the weights of trial {folder.name} cannot be read from {path} ({error})",
            remedy="Restore the sweep's folder, or run the sweep again",
        ) from error


def write_held_out(outputs: Tensor | None, folder: Path) -> None:
    """Keep a trial's outputs for validation rows beside its weights, where they are not many.

    An ensemble is selected by them; without them the model predicts the rows once more.

    Args:
        outputs: of `TrialLoop.held_out`.
        folder: of the trial.

    Raises:
        StorageError: the disk does not take them.
    """
    from safetensors.torch import save

    if outputs is not None and outputs.numel() <= _MOST_OUTPUTS:
        write(folder / HELD_OUT, save({_OUTPUTS: outputs.cpu().contiguous()}))


def read_held_out(folder: Path) -> Tensor | None:
    """What `write_held_out` kept; None where there is nothing, or it is torn."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / HELD_OUT).get(_OUTPUTS)
    except (OSError, SafetensorError):
        return None


def forget(folder: Path) -> None:
    """Remove a checkpoint that nothing will read."""
    shutil.rmtree(folder, ignore_errors=True)
