"""Compares the predictions of two models on the same rows, by a paired bootstrap.

Rows are drawn with replacement, the same ones for both models, so what makes a row hard for both
does not blur their difference. Source: Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rayml.tasks.task import Measure
from rayml.types import Direction

RESAMPLES = 500
_LEAST_RESAMPLES = 100
_MOST_VALUES = 5 * 10**7  # of all resamples: hundreds of classes took minutes
_LEVELS = (0.025, 0.975)
_VALUES_AT_ONCE = 2**22
# A metric that is undefined in more of the resamples says nothing.
_UNDEFINED = 0.1


@dataclass(frozen=True, slots=True)
class Paired:
    """What a metric makes of two models on the same rows.

    Attributes:
        one: value of the first.
        other: value of the second.
        low: lower end of the 95 % interval of how much better the first one is.
        high: upper end.
    """

    one: float
    other: float
    low: float
    high: float


def compare(
    measure: Measure,
    direction: Direction,
    one: Tensor,
    other: Tensor,
    truth: Tensor,
    *,
    stacked: bool,
    seed: int = 0,
) -> Paired | None:
    """Compare two models' predictions.

    Args:
        measure: the metric.
        direction: whether more or less of it is better.
        one: predictions [rows, ...] of the first.
        other: those of the second.
        truth: [rows], as the metric takes it.
        stacked: whether the metric takes leading dimensions.
        seed: of the resampling.

    Returns:
        None where the metric is not defined on these rows.
    """
    values = [float(measure(each, truth)) for each in (one, other)]
    if not all(map(_finite, values)):
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    found = [
        sign * (_measured(measure, one, truth, rows, stacked=stacked)
                - _measured(measure, other, truth, rows, stacked=stacked))
        for rows in _resamples(len(truth), one[0].numel(), seed)
    ]  # fmt: skip
    differences = torch.cat(found)
    defined = differences[differences.isfinite()]
    if len(defined) < (1 - _UNDEFINED) * len(differences):
        return None
    low, high = torch.quantile(defined, torch.tensor(_LEVELS, dtype=defined.dtype)).tolist()
    return Paired(values[0], values[1], low, high)


def _measured(
    measure: Measure, prediction: Tensor, truth: Tensor, rows: Tensor, *, stacked: bool
) -> Tensor:
    if stacked:
        return torch.as_tensor(measure(prediction[rows], truth[rows])).double()
    each = [float(measure(prediction[index], truth[index])) for index in rows]
    return torch.tensor(each, dtype=torch.float64)


def _resamples(rows: int, width: int, seed: int) -> Iterator[Tensor]:
    """Indices [resamples, rows], as many at once as bounded memory allows."""
    generator = torch.Generator().manual_seed(seed)
    left = min(RESAMPLES, max(_LEAST_RESAMPLES, _MOST_VALUES // (rows * width)))
    most = max(1, _VALUES_AT_ONCE // (rows * width))
    while left:
        count = min(left, most)
        yield torch.randint(rows, (count, rows), generator=generator)
        left -= count


def _finite(value: float) -> bool:
    return value - value == 0
