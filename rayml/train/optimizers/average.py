"""Exponential moving averages of weights over the steps of training.

Averaged weights often predict better than those of the last step (Polyak and Juditsky 1992). While
a trial is young, the average forgets faster, so that the weights at the start do not stay in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from rayml.tasks.task import Task


def share(decay: float, step: int) -> float:
    """The share of a step's weights in their average.

    Args:
        decay: of the average a step; 0 follows the weights.
        step: from 0, over all epochs.
    """
    return 1 - min(decay, (1 + step) / (10 + step))


@contextmanager
def swapped(values: Tensor, average: Tensor) -> Iterator[None]:
    """Weights that are their average for a while, in place, so that all views of them are."""
    kept = values.clone()
    values.copy_(average)
    try:
        yield
    finally:
        values.copy_(kept)


def is_better(one: Mapping[str, float], other: Mapping[str, float], task: Task) -> bool:
    """Whether metrics are better than others by the optimised one; false if either is undefined."""
    first, second = one[task.metric], other[task.metric]
    return first < second if task.direction == "minimize" else first > second


class Average:
    """The averages of lanes' weights; none are kept while no lane asks for one.

    Args:
        values: the weights, [lanes, parameters].
        decays: of the lanes.

    Attributes:
        values: the averages, [lanes, parameters]; a lane of decay 0 has its weights. None without
            a lane that asks for one.
    """

    def __init__(self, values: Tensor, decays: Sequence[float]) -> None:
        self.values = values.clone() if any(decays) else None

    def add(self, values: Tensor, new: Tensor, decays: Sequence[float]) -> None:
        """Append lanes.

        Args:
            values: weights of the lanes so far.
            new: weights of the new ones.
            decays: of the new ones.
        """
        if self.values is None and any(decays):
            self.values = values.clone()
        if self.values is not None:
            self.values = torch.cat([self.values, new])

    def keep(self, index: Tensor) -> None:
        """Drop all other lanes."""
        if self.values is not None:
            self.values = self.values.index_select(0, index)

    def copy(self, source: int, target: int, values: Tensor, decay: float) -> None:
        """Give a lane the average of another one.

        Args:
            source: row of the other one.
            target: row of the lane.
            values: weights of all lanes, after the lane has got those of the other.
            decay: of the lane.
        """
        if self.values is None and decay:
            self.values = values.clone()
        if self.values is not None:
            self.values[target] = self.values[source]

    def step(self, values: Tensor, shares: Tensor) -> None:
        """Take in the weights after a step.

        Args:
            values: [lanes, parameters].
            shares: of the step, [lanes, 1].
        """
        assert self.values is not None
        self.values.lerp_(values, shares)
