"""Optimizers, the schedule of their learning rate, and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rayml.types import OptimizerSettings, ScheduleSettings


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    """Make the optimizer of a trial; its update runs as one fused kernel."""
    if settings.name == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return torch.optim.SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def rate(schedule: ScheduleSettings, step: int, total_steps: int) -> float:
    """Factor of the peak learning rate at one step.

    Args:
        schedule: warm-up, then cosine annealing (Loshchilov & Hutter 2017) or none.
        step: from 0, over all epochs.
        total_steps: of the whole trial, also if it stops early.

    Returns:
        A factor in (0, 1]: no step is wasted on a rate of zero.
    """
    warmup = math.floor(schedule.warmup * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "constant":
        return 1.0
    progress = (step - warmup) / (total_steps - warmup)
    return (1 + math.cos(math.pi * progress)) / 2


def clip(gradient: Tensor, norm: float) -> None:
    """Scale a flat gradient in place so that its L2 norm is at most `norm`."""
    # No branch on the norm: reading it would wait for the device.
    gradient.mul_((norm / (gradient.norm() + 1e-12)).clamp(max=1.0))
