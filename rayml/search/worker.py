"""What a cohort's worker does for single trials: builds them, starts them, keeps their weights."""

from __future__ import annotations

import os
import random
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rayml.errors import SearchError
from rayml.search.parameter import Params
from rayml.search.plan import CohortPlan
from rayml.train.trial import apply
from rayml.types import TrainSettings

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
    """Write the weights of a trial's best epoch into its folder; they appear when complete."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{WEIGHTS}.partial"
    save_file({name: each.cpu().contiguous() for name, each in weights.items()}, partial)
    partial.replace(folder / WEIGHTS)


def reset_process(settings: TrainSettings, *, deterministic: bool = False) -> None:
    """Undo what an earlier trial of this worker may have left behind.

    Args:
        settings: of the trial.
        deterministic: whether PyTorch raises where an operation has no deterministic algorithm.
    """
    # Read by CUDA's library of linear algebra when it starts.
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    random.seed(settings.seed)
    np.random.seed(settings.seed % 2**32)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(deterministic)
    # Else the switch above fills all new memory, which slows training and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


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
