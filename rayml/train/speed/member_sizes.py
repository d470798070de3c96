"""Sizes of a network of members that this machine trains in good time, as plain numbers.

Importing this module loads no PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
MOST_SECONDS = 60.0
"""Of a trial, as it is predicted."""

# Members and width, by cost. Width comes before members, see tests/bench/LOG.md.
_LADDER = ((4, 64), (8, 64), (8, 128), (8, 256), (16, 256))
# Of a step the passes over results take about a third, and each product has two more behind it.
_OVERHEAD, _PASSES = 1.5, 3
_SIDE, _ROWS, _TIMES = 128, 2048, 8


@dataclass(frozen=True, slots=True)
class Work:
    """What a trial has to compute.

    Attributes:
        inputs: width of a row as the first layer takes it.
        depth: hidden layers.
        batch: rows of a step.
        steps: of the whole trial.
    """

    inputs: int
    depth: int
    batch: int
    steps: int

    def seconds(self, k: int, width: int, pace: float) -> float:
        """Predicted time of a trial, at so many multiplications a second."""
        member = self.inputs * width + max(0, self.depth - 1) * width**2
        return _OVERHEAD * _PASSES * self.steps * self.batch * k * member / pace


def choose_sizes(work: Work, pace: float, k: int | None, width: int | None) -> tuple[int, int]:
    """The largest members and width of a trial of at most `MOST_SECONDS`; at least the smallest.

    Args:
        work: of a trial.
        pace: multiplications a second.
        k: that the user gives; None chooses.
        width: likewise.
    """
    found = [(k or each, width or other) for each, other in _LADDER]
    fitting = [each for each in found if work.seconds(*each, pace) <= MOST_SECONDS]
    return fitting[-1] if fitting else found[0]


def with_least_sizes(node: Mapping[str, Any]) -> dict[str, Any]:
    """The section `model` with the smallest sizes in the place of `auto`, to try it out."""
    least = dict(zip(("k", "width"), _LADDER[0], strict=True))
    return {**node, **{key: least[key] for key in least if node.get(key) == AUTO}}


def measured_pace(threads: int) -> float:
    """Multiplications a second of a CPU's products of matrices; takes some 10 ms.

    Args:
        threads: of a trial.
    """
    import torch

    from rayml.models.layers.products import bmm

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first, second = torch.rand(1, _ROWS, _SIDE), torch.rand(1, _SIDE, _SIDE)
        bmm(first, second)
        best = float("inf")
        for _ in range(_TIMES):
            start = time.perf_counter()
            bmm(first, second)
            best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return _ROWS * _SIDE**2 / best
