"""Models that wait: for a given time, as on an accelerator, or until a test lets them go on."""

from __future__ import annotations

import time
from pathlib import Path

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


class Gated(nn.Module):
    """An MLP that waits after some forward passes until a file is there.

    So a test can act while a trial is under way, however slow the machine is.

    Args:
        shape: of the features.
        outputs: of the task.
        gate: the file.
        passes: forward passes before it waits.
    """

    def __init__(self, shape: FeatureShape, outputs: int, gate: str, passes: int) -> None:
        super().__init__()
        self.net = MLP(shape, outputs, width=8, depth=1)
        self.gate = Path(gate)
        self.left = passes

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        while self.left < 0 and not self.gate.exists():
            time.sleep(0.01)
        result: torch.Tensor = self.net(numeric, categorical)
        return result
