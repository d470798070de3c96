"""A model that fails on some rows, for tests of guards."""

from __future__ import annotations

import torch
from torch import nn

from rayml.types import FeatureShape


class RaisesOnLarge(nn.Module):
    """A linear model that refuses rows with a feature beyond 20 standard deviations."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(shape.numeric, outputs)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        if numeric.numel() and numeric.abs().max() > 20:
            raise RuntimeError("a feature is too large")
        out: torch.Tensor = self.layer(numeric)
        return out
