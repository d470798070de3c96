"""What a training loop tells: an epoch's result, and which epoch was best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch of a trial.

    Attributes:
        epoch: from 1.
        loss: mean training loss over the epoch's rows.
        metrics: of the validation split, `loss` included; undefined ones are NaN.
        train_seconds: wall-clock of the steps.
        eval_seconds: wall-clock of the evaluation.
        steps: number of optimizer steps.
    """

    epoch: int
    loss: float
    metrics: Mapping[str, float]
    train_seconds: float
    eval_seconds: float
    steps: int


@dataclass(frozen=True, slots=True)
class BestEpoch:
    """The epoch with the best value of the optimised metric, the earliest among equals."""

    epoch: int
    value: float
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON, which has no NaN or infinity: such a metric becomes a string."""
        metrics = {k: v if math.isfinite(v) else str(v) for k, v in self.metrics.items()}
        return {"epoch": self.epoch, "value": self.value, "metrics": metrics}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> BestEpoch:
        """The inverse of `to_json`."""
        metrics = {k: float(v) for k, v in saved["metrics"].items()}
        return cls(saved["epoch"], saved["value"], metrics)
