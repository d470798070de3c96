"""The gradients of a cohort's step: forward pass, loss and backward pass of all lanes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rayml.models.modules.outputs import require_outputs
from rayml.tasks.task import Task
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import Batch

Losses = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class LaneGradients:
    """Computes every lane's loss on a batch and its gradient; trains nothing.

    Args:
        stack: the models.
        task: gives the loss.
        bfloat16: whether products of matrices are computed in bfloat16.

    Attributes:
        bfloat16: may be changed at any time.
        compiled: takes the place of `losses` where it is given.
    """

    def __init__(self, stack: StackedModel, task: Task, *, bfloat16: bool) -> None:
        self._stack = stack
        self._task = task
        self.bfloat16 = bfloat16
        self.compiled: Losses | None = None
        self._passes = stack.passes()
        self._into: tuple[Tensor, list[Tensor]] | None = None

    def __call__(self, batch: Batch, smoothing: Tensor, gradient: Tensor) -> Tensor:
        """Put the gradient of every lane's loss in place, and give the losses, [lanes].

        Args:
            batch: of all lanes, or [lanes, rows, ...].
            smoothing: of labels, [lanes, 1].
            gradient: [lanes, parameters].

        Raises:
            ConfigError: the model's outputs have a wrong shape.
        """
        if self._passes is not None and self.compiled is None and not self.bfloat16:
            outputs = self._passes.forward(batch.numeric, batch.categorical).requires_grad_()
            loss = self._loss(outputs, batch.target, smoothing)
            (slope,) = torch.autograd.grad(loss.sum(), outputs)
            found: list[Tensor] | tuple[Tensor, ...] = self._passes.backward(slope)
        else:
            loss = (self.compiled or self.losses)(*batch, smoothing)
            leaves = self._stack.leaves
            found = torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)
        torch._foreach_copy_(self._views(gradient), found)
        return loss.detach()

    @property
    def kept(self) -> int:
        """Bytes that a step keeps for its backward pass beside what autograd does."""
        return 0 if self._passes is None else self._passes.kept

    def _views(self, gradient: Tensor) -> list[Tensor]:
        """Views of the gradient, which is the same tensor until lanes come or go."""
        if self._into is None or self._into[0] is not gradient:
            self._into = (gradient, self._stack.views(gradient))
        return self._into[1]

    def losses(
        self, numeric: Tensor, categorical: Tensor, target: Tensor, smoothing: Tensor
    ) -> Tensor:
        """Loss of each lane, [lanes]; see `__call__`."""
        if self.bfloat16:
            with torch.autocast(numeric.device.type, torch.bfloat16):
                outputs = self._stack(numeric, categorical).float()
        else:
            outputs = self._stack(numeric, categorical)
        return self._loss(outputs, target, smoothing)

    def _loss(self, outputs: Tensor, target: Tensor, smoothing: Tensor) -> Tensor:
        members = self._stack.members
        wanted = (len(self._stack), *members, target.shape[-1], self._task.outputs)
        require_outputs(outputs, wanted, lanes=1)
        loss = self._task.members_loss if members else self._task.training_loss
        return loss(outputs, target, smoothing)
