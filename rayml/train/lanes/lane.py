"""A trial among others that train as one stacked model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rayml.settings.train import TrainSettings
from rayml.train.loop.results import BestEpoch, is_finished


@dataclass
class Lane:
    """A trial's slot.

    Attributes:
        number: of the trial.
        settings: how it is trained.
        epoch: number of its finished epochs.
        best: its best epoch so far.
    """

    number: int
    settings: TrainSettings
    epoch: int = 0
    best: BestEpoch | None = None

    @property
    def finished(self) -> bool:
        """Whether all its epochs are done, or too many passed without a better one."""
        return is_finished(self.settings, self.epoch, self.best)


@dataclass(frozen=True)
class NewLane:
    """A trial to be trained.

    Attributes:
        number: of the trial.
        model: on the batches' device.
        settings: how it is trained.
        others: of a trial with folds the lanes of its second fold and later ones.
    """

    number: int
    model: nn.Module
    settings: TrainSettings
    others: tuple[NewLane, ...] = ()
