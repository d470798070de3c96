"""A trial whose folds train one after another: estimators, and modules that do not stack."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rayml.data.split.folds import FoldNumbers, Folds
from rayml.errors import CheckpointError, TrainError
from rayml.settings.train import TrainSettings
from rayml.storage.disk import make_folder, write
from rayml.tasks.task import Task
from rayml.train.folds.batches import FoldBatches, FoldEpochs
from rayml.train.folds.parts import fold_seed, joined, merged
from rayml.train.loop.batches import ArrayBatches, Batches
from rayml.train.loop.estimator_loop import EstimatorLoop
from rayml.train.loop.loop import TrainingLoop
from rayml.train.loop.results import BestEpoch, EpochResult, better_epoch, is_finished
from rayml.types import Examples

_WHOLE = "whole.json"


def folded_modules(
    make: Callable[[Batches, Batches, TrainSettings], TrainingLoop],
    rows: Examples,
    folds: Folds,
    settings: TrainSettings,
    device: torch.device,
) -> FoldedTrial:
    """The folds of a module, each as it would train as a lane.

    Args:
        make: the loop of a model, initialised by the seed of its settings.
        rows: that train and validate.
        folds: of the rows.
        settings: of the trial.
        device: of the models.
    """
    batches = FoldBatches(rows, folds, settings.batch_size, device, stretch=settings.stretch)
    return FoldedTrial(
        [
            make(
                FoldEpochs(batches, fold),
                ArrayBatches(rows.rows(folds.held_out(fold)), settings.eval_batch_size, device),
                _own(settings, fold),
            )
            for fold in range(folds.count)
        ],
        folds.held,
        settings,
    )


def folded_estimators(
    make: Callable[[Examples, Examples, TrainSettings], EstimatorLoop],
    rows: Examples,
    folds: Folds,
    settings: TrainSettings,
) -> FoldedTrial:
    """The folds of an estimator, which trains on all rows that a fold does not hold out.

    Args:
        make: the loop of an estimator, made with the seed of its settings.
        rows: that train and validate.
        folds: of the rows.
        settings: of the trial.
    """
    return FoldedTrial(
        [
            make(
                rows.rows(folds.trained(fold)),
                rows.rows(folds.held_out(fold)),
                _own(settings, fold),
            )
            for fold in range(folds.count)
        ],
        folds.held,
        settings,
    )


class FoldedTrial:
    """Trains a model a fold, an epoch of each in turn; all have the same best epoch.

    That epoch is the best one of the mean over the folds, and so is the end by patience: a fold by
    itself would choose with few rows.

    Args:
        folds: loops of the folds, which have their own rows.
        held: of each row the fold that holds it out.
        settings: of the trial.

    Attributes:
        task: gives loss and metrics.
        epoch: number of finished epochs.
        best: the best epoch so far, None before the first.
    """

    def __init__(
        self,
        folds: Sequence[TrainingLoop | EstimatorLoop],
        held: FoldNumbers,
        settings: TrainSettings,
    ) -> None:
        self.task: Task = folds[0].task
        self.settings = settings
        self.epoch = 0
        self.best: BestEpoch | None = None
        self._folds = folds
        self._held = held
        self._last: list[EpochResult] = []

    @property
    def parameters(self) -> int:
        """Number of trainable values of all folds."""
        return sum(each.parameters for each in self._folds)

    @property
    def all_parameters(self) -> int:
        """Number of values of all folds, frozen ones included."""
        return sum(each.all_parameters for each in self._folds)

    @property
    def finished(self) -> bool:
        """Whether no fold has a further epoch, or the trial's epochs or its patience are spent."""
        over = all(map(_over, self._folds))
        return over or is_finished(self.settings, self.epoch, self.best)

    def run_epoch(self) -> EpochResult:
        """Train each fold for one epoch and evaluate it; one that is over stays as it is.

        Raises:
            DivergedError: the loss or the optimised metric of a fold is not finite.
            TrainError: the trial is finished.
            ConfigError: a model's outputs have a wrong shape.
        """
        if self.finished:
            raise TrainError(f"the trial has finished after {self.epoch} epochs and has no other")
        results = [
            _idle(self._last[fold]) if _over(each) else each.advance()
            for fold, each in enumerate(self._folds)
        ]
        self._last = results
        self.epoch += 1
        result = replace(merged(results, self.task.metric), epoch=self.epoch)
        if found := better_epoch(result, self.best, self.task):
            self.best = found
            for each in self._folds:
                each.keep(found)
        return result

    def best_weights(self) -> Mapping[str, Tensor]:
        """States of the models of all folds after the best epoch, see `parted`."""
        return joined([each.best_weights() for each in self._folds])

    def held_out(self) -> Tensor | None:
        """See `TrialLoop`; None where a fold does not keep its own."""
        found = [each.held_out() for each in self._folds]
        parts = [each for each in found if each is not None]
        if len(parts) < len(found):
            return None
        order = np.argsort(
            np.concatenate([np.flatnonzero(self._held == fold) for fold in range(len(parts))])
        )
        return torch.cat(parts)[torch.from_numpy(order)]

    def save(self, folder: Path) -> None:
        """Write what the rest of the trial depends on; call it between epochs.

        Each epoch has a folder of its own that is whole or does not count, so that the folds which
        are restored are of one epoch.
        """
        if not all(each.due for each in self._folds):
            return
        own = folder / str(self.epoch)
        make_folder(own)
        for fold, each in enumerate(self._folds):
            each.save(own / str(fold))
        last = [
            {"loss": each.loss, "metrics": {k: str(v) for k, v in each.metrics.items()}}
            for each in self._last
        ]
        write(own / _WHOLE, json.dumps({"epoch": self.epoch, "last": last}) + "\n")
        for older in folder.iterdir():
            if older.name != own.name:
                shutil.rmtree(older)

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint as if there had been no interruption.

        Raises:
            CheckpointError: it is absent, torn, or of a trial with other settings.
        """
        whole = sorted(folder.glob(f"*/{_WHOLE}"), key=lambda path: int(path.parent.name))
        if not whole:
            raise CheckpointError("there is no whole checkpoint of all folds", found=str(folder))
        state = json.loads(whole[-1].read_text(encoding="utf-8"))
        for fold, each in enumerate(self._folds):
            each.restore(whole[-1].parent / str(fold))
        self.epoch, self.best = state["epoch"], self._folds[0].best
        self._last = [
            EpochResult(
                self.epoch,
                each["loss"],
                {name: float(value) for name, value in each["metrics"].items()},
                0.0,
                0.0,
                0,
            )
            for each in state["last"]
        ]


def _own(settings: TrainSettings, fold: int) -> TrainSettings:
    return replace(settings, seed=fold_seed(settings.seed, fold))


def _over(loop: TrainingLoop | EstimatorLoop) -> bool:
    return isinstance(loop, EstimatorLoop) and loop.over


def _idle(last: EpochResult) -> EpochResult:
    """The result of a fold that is over, in an epoch of the others."""
    return replace(last, train_seconds=0.0, eval_seconds=0.0, steps=0)
