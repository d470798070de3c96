"""What a cohort's worker does for single trials: builds them, starts them, keeps their weights."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.disk import make_folder, write
from rayml.errors import SearchError
from rayml.search.parameter import Params
from rayml.search.plan import CohortPlan
from rayml.train.trial import apply

if TYPE_CHECKING:
    from torch import Tensor

    from rayml.models.tasks import Task

WEIGHTS = "best.safetensors"


def trial_of(params: Params, plan: CohortPlan) -> dict[str, Any]:
    """The config of a trial."""
    return apply(plan.trial, params)


def require_objective(task: Task, plan: CohortPlan) -> None:
    """Refuse a trial that optimises something else than the sweep.

    Raises:
        SearchError: it does.
    """
    if (task.metric, task.direction) != (plan.objective.metric, plan.objective.direction):
        raise SearchError(
            f"every trial optimises the sweep's {plan.objective.metric}",
            value=task.metric,
            remedy="Do not search keys of `task` that change the metric",
        )


def write_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the weights of a trial's best epoch into its folder; they appear when complete.

    Raises:
        StorageError: the disk does not take them.
    """
    from safetensors.torch import save

    make_folder(folder)
    write(folder / WEIGHTS, save({k: each.cpu().contiguous() for k, each in weights.items()}))


def explain(error: Exception) -> str:
    """What went wrong and where, on one line."""
    text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:  # it was returned, not raised
        return text
    last = frames[-1]
    return f"{text} ({Path(last.filename).name}:{last.lineno}, in {last.name}: {last.line})"


def forget(folder: Path) -> None:
    """Remove a checkpoint that nothing will read."""
    shutil.rmtree(folder, ignore_errors=True)
