"""The schedule of the learning rate."""

from __future__ import annotations

import math

from rayml.settings.train import ScheduleSettings


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
