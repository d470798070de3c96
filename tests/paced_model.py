"""A model whose forward pass takes a given time and no processor, as one on an accelerator."""

from __future__ import annotations

import time

import torch
from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape


class Paced(nn.Module):
    """An MLP that waits in each forward pass.

    Args:
        shape: of the features.
        outputs: of the task.
        seconds: that a pass takes.
    """

    def __init__(self, shape: FeatureShape, outputs: int, seconds: float = 0.02) -> None:
        super().__init__()
        self.net = MLP(shape, outputs, width=8, depth=1)
        self.seconds = seconds

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        result: torch.Tensor = self.net(numeric, categorical)
        return result
