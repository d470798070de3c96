"""What every training loop of one trial offers, whatever it trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.train.loop.results import BestEpoch, EpochResult


class TrialLoop(Protocol):
    """Trains one model epoch by epoch: `TrainingLoop` of a module, `EstimatorLoop` of the rest.

    Attributes:
        task: gives loss and metrics.
        settings: how the trial is trained.
        epoch: number of finished epochs.
        best: the best epoch so far, None before the first.
    """

    task: Task
    settings: TrainSettings
    epoch: int
    best: BestEpoch | None

    @property
    def parameters(self) -> int:
        """Number of trainable values."""

    @property
    def all_parameters(self) -> int:
        """Number of values, frozen ones included."""

    @property
    def finished(self) -> bool:
        """Whether the trial has no further epoch."""

    def run_epoch(self) -> EpochResult:
        """Train for one epoch and evaluate."""

    def best_weights(self) -> Mapping[str, Tensor]:
        """State of the model after its best epoch, as tensors by name."""

    def held_out(self) -> Tensor | None:
        """Outputs for the validation rows after the best epoch, [rows, outputs].

        With folds these are the rows that train and validate, each by the model that held it out.
        None where they are not kept.
        """

    def save(self, folder: Path) -> None:
        """Write what the rest of the trial depends on; call it between epochs."""

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint as if there had been no interruption."""
