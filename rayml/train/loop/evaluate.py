"""Evaluation of a model on a split."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.models.modules.lending import lend
from rayml.tasks.task import Task
from rayml.train.loop.batches import Batch, Batches


def forward(model: nn.Module, task: Task, batch: Batch) -> Tensor:
    """Run a model on a batch.

    Raises:
        ConfigError: the result is not [rows, outputs]; a user's module may get that wrong, and
            broadcasting would hide it in the loss.
    """
    outputs = model(*lend(model, batch.numeric, batch.categorical))
    return require_outputs(outputs, (len(batch.target), task.info.outputs))


def require_outputs(outputs: object, wanted: tuple[int, ...], lanes: int = 0) -> Tensor:
    """Refuse what a model returned unless it is one real tensor of the shape that its task needs.

    Args:
        outputs: of the model.
        wanted: the shape.
        lanes: leading dimensions that are no affair of the user's.

    Raises:
        ConfigError: it is something else.
    """
    remedy = "Mend its forward(numeric, categorical)"
    shape = wanted[lanes:]
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"the model returns a {type(outputs).__name__}; this task needs one tensor of shape"
            f" {shape}",
            remedy=remedy,
        )
    if not outputs.is_floating_point():
        raise ConfigError(f"the model returns {outputs.dtype}, not real numbers", remedy=remedy)
    if outputs.shape != wanted:
        raise ConfigError(
            f"a model of this task returns shape {shape}",
            found=tuple(outputs.shape[lanes:]),
            remedy=remedy,
        )
    return outputs


@torch.inference_mode()
def predict_outputs(model: nn.Module, task: Task, batches: Batches) -> tuple[Tensor, Tensor]:
    """Outputs [rows, outputs] of a model and the targets [rows], in the stored order."""
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    for batch in batches.in_order():
        outputs.append(forward(model, task, batch))
        targets.append(batch.target)
    return torch.cat(outputs), torch.cat(targets)


@torch.inference_mode()
def evaluate(model: nn.Module, task: Task, batches: Batches) -> dict[str, float]:
    """Measure a model on all rows of a split: `loss` and every metric of the task."""
    return task.evaluate(*predict_outputs(model, task, batches))


@torch.inference_mode()
def evaluate_ensemble(
    members: Iterable[nn.Module], task: Task, batches: Batches
) -> dict[str, float]:
    """Measure the mean prediction of several models, as `evaluate` measures that of one."""
    seen = [predict_outputs(member, task, batches) for member in members]
    outputs, (target, *_) = zip(*seen, strict=True)
    return task.evaluate(task.pool(torch.stack(outputs)), target)
