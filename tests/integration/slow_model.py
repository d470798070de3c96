"""A model that takes its time, and never the same."""

from __future__ import annotations

import random
import time

import torch
from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape


class Slow(nn.Module):
    """An MLP that runs as a user's module would, under `torch.vmap`.

    Args:
        shape: of the features.
        outputs: of the task.
        width: of its layer.
        dropout: of it.
        delay: seconds that a forward pass may be held up at most.
        alone: whether it refuses to be stacked.
        stacked_delay: seconds that each pass takes longer where it is stacked.
    """

    def __init__(
        self, shape: FeatureShape, outputs: int, width: int, dropout: float,
        delay: float = 0.0, alone: bool = False, stacked_delay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.net = MLP(shape, outputs, width=width, depth=1, dropout=dropout)
        self.delay, self.alone, self.stacked_delay = delay, alone, stacked_delay

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        # Not the global numbers, which training may draw from.
        time.sleep(random.SystemRandom().random() * self.delay)
        if self.alone:
            self.net.head.weight.sum().item()  # which vmap refuses
        if torch._C._functorch.is_batchedtensor(self.net.head.weight):
            time.sleep(self.stacked_delay)
        result: torch.Tensor = self.net(numeric, categorical)
        return result
