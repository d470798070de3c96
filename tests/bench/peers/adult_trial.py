"""One trial of the sweep benchmark's peers: rayml's architecture in a plain training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def train(
    config: dict[str, Any],
    data: dict[str, Any],
    epochs: int,
    report: Callable[[int, float], None],
) -> None:
    """Train a trial, reporting each epoch's validation accuracy.

    Args:
        config: width, depth, dropout, label_smoothing, lr and weight_decay.
        data: the prepared arrays as tensors, see `load`.
        epochs: passes over the training split.
        report: is told of an epoch, from 1, and may raise to end the trial.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    from rayml.models.nets.mlp import MLP
    from rayml.types import FeatureShape

    torch.manual_seed(0)
    shape = FeatureShape(data["train_numeric"].shape[1], tuple(data["cardinalities"].tolist()))
    model = MLP(shape, 1, width=config["width"], depth=config["depth"], dropout=config["dropout"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    rows, size = len(data["train_target"]), config["batch_size"]
    total = epochs * math.ceil(rows / size)
    warmup = 0.05 * total

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    smoothing = config["label_smoothing"]
    for epoch in range(1, epochs + 1):
        model.train()
        for index in torch.randperm(rows).split(size):
            target = data["train_target"][index].float() * (1 - smoothing) + smoothing / 2
            logits = model(data["train_numeric"][index], data["train_categorical"][index])
            loss = F.binary_cross_entropy_with_logits(logits.squeeze(-1), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            logits = model(data["validation_numeric"], data["validation_categorical"])
            hits = (logits.squeeze(-1) > 0) == (data["validation_target"] > 0)
        report(epoch, hits.float().mean().item())


def load(arrays: str) -> dict[str, Any]:
    """The prepared arrays as tensors."""
    import torch

    return {name: torch.from_numpy(value) for name, value in np.load(arrays).items()}
