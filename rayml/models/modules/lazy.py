"""Modules whose shapes come from the first batch, such as `torch.nn.LazyLinear`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rayml.types import FeatureShape

_ROWS = 2


def materialise(model: nn.Module, shape: FeatureShape) -> None:
    """Give a model's lazy parameters and buffers their shapes, by one pass of a few rows.

    An optimizer, a checkpoint or a bundle then reads an ordinary module. A module without lazy
    parts stays as it is.

    Args:
        model: may be on any device.
        shape: of the features.
    """
    parts: list[Tensor] = [*model.parameters(), *model.buffers()]
    if not any(map(is_lazy, parts)):
        return
    device = parts[0].device
    numeric = torch.zeros(_ROWS, shape.numeric, device=device)
    codes = torch.zeros(_ROWS, len(shape.cardinalities), dtype=torch.int64, device=device)
    training = model.training
    # Evaluation mode keeps the statistics of batches as they are.
    model.eval()
    with torch.no_grad():
        model(numeric, codes)
    model.train(training)
