"""Evaluation of a model on a split."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rayml.models.modules.lending import lend
from rayml.models.modules.outputs import require_outputs
from rayml.models.modules.pooling import members_of
from rayml.tasks.task import Task
from rayml.train.loop.batches import Batch, Batches


def forward(model: nn.Module, task: Task, batch: Batch) -> Tensor:
    """Run a model on a batch.

    Raises:
        ConfigError: the result is not [rows, outputs], or while a network of several members trains
            not [members, rows, outputs].
    """
    outputs = model(*lend(model, batch.numeric, batch.categorical))
    members = members_of(model) if model.training else ()
    return require_outputs(outputs, (*members, len(batch.target), task.outputs))


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
