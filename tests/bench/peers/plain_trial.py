"""One trial of the sweep benchmarks' peers: rayml's architecture in a plain training loop."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def train(
    config: dict[str, Any],
    data: dict[str, Any],
    epochs: int,
    report: Callable[[int, float], None],
) -> None:
    """Train a trial, reporting each epoch's value on validation.

    That is the accuracy of two classes, or of numbers the root mean squared error in their unit.

    Args:
        config: width, depth, dropout, lr, weight_decay, batch_size, and of classes label_smoothing.
        data: the prepared arrays as tensors, see `load`.
        epochs: passes over the training split.
        report: is told of an epoch, from 1, and may raise to end the trial.
    """
    import torch

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
    loss_of = _loss(config, data)
    for epoch in range(1, epochs + 1):
        model.train()
        for index in torch.randperm(rows).split(size):
            outputs = model(data["train_numeric"][index], data["train_categorical"][index])
            loss = loss_of(outputs.squeeze(-1), data["train_target"][index].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            outputs = model(data["validation_numeric"], data["validation_categorical"])
        report(epoch, _value(outputs.squeeze(-1), data))


def _loss(config: dict[str, Any], data: dict[str, Any]) -> Callable[[Any, Any], Any]:
    import torch.nn.functional as F  # noqa: N812

    if is_regression(data):
        return F.mse_loss
    smoothing = config["label_smoothing"]
    return lambda outputs, target: F.binary_cross_entropy_with_logits(
        outputs, target * (1 - smoothing) + smoothing / 2
    )


def _value(outputs: Any, data: dict[str, Any]) -> float:
    target = data["validation_target"]
    if is_regression(data):
        errors = outputs.double() - target.double()
        return float(errors.square().mean().sqrt().item() * float(data["scale"]))
    return float(((outputs > 0) == (target > 0)).float().mean().item())


def is_regression(data: Any) -> bool:
    """Whether the arrays are of numbers; else they are of two classes."""
    return "scale" in data


def say(value: float) -> None:
    """Let the benchmark know a value at once."""
    sys.stdout.write(f"value {value!r}\n")
    sys.stdout.flush()


def load(arrays: str) -> dict[str, Any]:
    """The prepared arrays as tensors."""
    import torch

    return {name: torch.from_numpy(value) for name, value in np.load(arrays).items()}
