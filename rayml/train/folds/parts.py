"""What the folds of a trial give together: seeds, metrics and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rayml.train.loop.results import EpochResult

if TYPE_CHECKING:
    from torch import Tensor

_PREFIX = "fold/"
# Far from the seeds of other trials, which follow one another.
_STEP = 7919


def fold_seed(seed: int, fold: int) -> int:
    """The seed of a trial's fold; the first fold has the trial's own.

    Folds differ in it, so that their models differ in more than a few rows: as an ensemble they
    gain by that.
    """
    return seed + _STEP * fold


def fold_metric(metric: str, fold: int) -> str:
    """Name under which a trial's metric in one fold is recorded, such as `auroc_fold_1`."""
    return f"{metric}_fold_{fold + 1}"


def fold_values(metric: str, metrics: Mapping[str, Any]) -> list[Any]:
    """The values of a metric by fold, where a trial recorded them; else none."""
    found: list[Any] = []
    while (name := fold_metric(metric, len(found))) in metrics:
        found.append(metrics[name])
    return found


def mean_metrics(metric: str, folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of a trial: their means over the folds, and the optimised one of each fold."""
    means = {name: math.fsum(each[name] for each in folds) / len(folds) for name in folds[0]}
    return means | {fold_metric(metric, fold): each[metric] for fold, each in enumerate(folds)}


def merged(results: Sequence[EpochResult], metric: str) -> EpochResult:
    """The result of a trial's epoch from those of its folds; work and times are their sums."""
    return EpochResult(
        results[0].epoch,
        math.fsum(each.loss for each in results) / len(results),
        mean_metrics(metric, [each.metrics for each in results]),
        math.fsum(each.train_seconds for each in results),
        math.fsum(each.eval_seconds for each in results),
        sum(each.steps for each in results),
    )


def joined(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The weights of all folds in one mapping, as a trial's files hold them."""
    return {
        f"{_PREFIX}{fold}/{name}": each
        for fold, own in enumerate(weights)
        for name, each in own.items()
    }


def parted(weights: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The inverse of `joined`; the weights of a trial without folds are its only part."""
    if not all(name.startswith(_PREFIX) for name in weights):
        return [dict(weights)]
    parts: dict[int, dict[str, Tensor]] = {}
    for name, each in weights.items():
        fold, _, own = name.removeprefix(_PREFIX).partition("/")
        parts.setdefault(int(fold), {})[own] = each
    return [parts[fold] for fold in sorted(parts)]
