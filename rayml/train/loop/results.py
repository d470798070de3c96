"""Results of a training loop: an epoch's, the best epoch's, and when a trial is over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayml.errors import DivergedError
from rayml.settings.train import TrainSettings
from rayml.tasks.objectives import LOSS
from rayml.types import Direction

if TYPE_CHECKING:
    from rayml.tasks.task import Task

# What may differ between the runs of one trial: how it is computed, not what.
_FREE = ("device", "threads", "eval_batch_size")


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

    def beaten_by(self, value: float, direction: Direction) -> bool:
        """Whether a later value is better."""
        return value < self.value if direction == "minimize" else value > self.value

    def to_json(self) -> dict[str, Any]:
        """As JSON, which has no NaN or infinity: such a metric becomes a string."""
        metrics = {k: v if math.isfinite(v) else str(v) for k, v in self.metrics.items()}
        return {"epoch": self.epoch, "value": self.value, "metrics": metrics}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> BestEpoch:
        """The inverse of `to_json`."""
        metrics = {k: float(v) for k, v in saved["metrics"].items()}
        return cls(saved["epoch"], saved["value"], metrics)


def better_epoch(result: EpochResult, best: BestEpoch | None, task: Task) -> BestEpoch | None:
    """The epoch of a result as the best one, if it is better than the best one before."""
    value = result.metrics[task.metric]
    if best is not None and not best.beaten_by(value, task.direction):
        return None
    return BestEpoch(result.epoch, value, result.metrics)


def is_finished(settings: TrainSettings, epoch: int, best: BestEpoch | None) -> bool:
    """Whether a trial's epochs are done, or too many passed without a better one.

    Args:
        settings: of the trial.
        epoch: number of finished epochs.
        best: the best one of them.
    """
    stale = epoch - best.epoch if best else 0
    patience = settings.patience
    return epoch >= settings.stretches or (patience is not None and stale >= patience)


def require_finite(metric: str, loss: float, metrics: Mapping[str, float]) -> None:
    """Refuse an epoch after which a trial makes no sense; other metrics may be undefined.

    Args:
        metric: name of the one that is optimised.
        loss: of training.
        metrics: of the validation split.

    Raises:
        DivergedError: the loss or the optimised metric is not finite.
    """
    values = {
        "training loss": loss,
        "validation loss": metrics[LOSS],
        metric: metrics[metric],
    }
    for what, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the {what} is not finite",
                found=value,
                remedy="Lower train.optimizer.lr or set train.clip_norm; AUROC needs both classes",
            )


def fixed(settings: TrainSettings) -> dict[str, object]:
    """The settings that a trial's result depends on."""
    kept = {k: v for k, v in dataclasses.asdict(settings).items() if k not in _FREE}
    if settings.optimizer.target is None:
        # As checkpoints had it that knew no other optimizers, averages, steps or class weights.
        del kept["optimizer"]["target"], kept["optimizer"]["arguments"]
    if settings.optimizer.name != "muon":
        del kept["optimizer"]["muon_lr"]
    if not settings.ema:
        del kept["ema"]
    if settings.steps is None:
        del kept["steps"], kept["eval_steps"]
    if settings.class_weights is None:
        del kept["class_weights"]
    return kept
