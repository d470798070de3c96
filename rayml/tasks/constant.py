"""Answers that do not look at the row: what a model must beat to be worth anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rayml.types import TargetInfo


def constant_predictions(
    target: TargetInfo, shares: Sequence[float], profile: Mapping[str, Any], rows: int
) -> list[Tensor]:
    """Predictions of constant answers for some rows, as those of `Task.predict`.

    Which of them is the best depends on the metric: the shares of the classes, or always the same
    class; the mean, or the median.

    Args:
        target: what is predicted.
        shares: of the classes in the training split; none of a regression.
        profile: of the target there, see `rayml.data.statistics.profile`; it may hide the
            quantiles.
        rows: number of rows.
    """
    if target.task == "regression":
        quantiles = profile.get("quantiles") or [target.mean]
        values = (target.mean, quantiles[len(quantiles) // 2])
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in values]
    if target.task == "binary":
        odds = (shares[1], 0.0, 1.0)
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in odds]
    known = torch.tensor(shares, dtype=torch.float64)
    first = torch.nn.functional.one_hot(known.argmax(), len(known)).double()
    return [each.expand(rows, -1) for each in (known, first)]
