"""Answers that do not look at the row: what a model must beat to be worth anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rayml.data.target import class_shares
from rayml.types import TargetInfo


def constant_predictions(target: TargetInfo, profile: Mapping[str, Any], rows: int) -> list[Tensor]:
    """Predictions of constant answers for some rows, as those of `Task.predict`.

    Which of them is the best depends on the metric: the shares of the classes, or always the same
    class; the mean, or the median.

    Args:
        target: what is predicted.
        profile: of the target on the training split, see `rayml.data.profile`.
        rows: number of rows.
    """
    if target.task == "regression":
        quantiles = profile.get("quantiles") or [target.mean]
        values = (target.mean, quantiles[len(quantiles) // 2])
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in values]
    shares = torch.tensor(class_shares(target, profile), dtype=torch.float64)
    if target.task == "binary":
        odds = (float(shares[1]), 0.0, 1.0)
        return [torch.full((rows,), float(value), dtype=torch.float64) for value in odds]
    first = torch.nn.functional.one_hot(shares.argmax(), len(shares)).double()
    return [each.expand(rows, -1) for each in (shares, first)]
