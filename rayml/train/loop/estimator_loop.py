"""The training loop of an estimator: its rounds, the best one, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from rayml.errors import CheckpointError, ConfigError, TrainError
from rayml.models.estimators.estimator import Estimator, Files, Round
from rayml.models.estimators.files import as_files, as_tensors, require_plain
from rayml.models.estimators.members import checked_outputs, locked
from rayml.models.modules.arrays import as_tensor
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.train.loop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, under, within
from rayml.train.loop.randomness import Randomness
from rayml.train.loop.results import (
    BestEpoch,
    EpochResult,
    better_epoch,
    fixed,
    is_finished,
    require_finite,
)
from rayml.types import Examples

_STATE, _BEST, _RANDOM = "model.", "best.", "random."
# Saving takes at most this share of the time: a booster writes all its trees each time.
_SHARE = 0.1


class EstimatorLoop:
    """Trains one estimator, round by round, as `TrainingLoop` trains a module epoch by epoch.

    Args:
        estimator: untrained.
        task: gives loss and metrics.
        train: the training split.
        validation: the split that chooses the best round.
        settings: how to train; `epochs` bounds the rounds.

    Attributes:
        epoch: number of finished rounds.
        best: the best round so far, None before the first.
    """

    def __init__(
        self,
        estimator: Estimator,
        task: Task,
        train: Examples,
        validation: Examples,
        settings: TrainSettings,
    ) -> None:
        self.task = task
        self.settings = settings
        self.epoch = 0
        self.best: BestEpoch | None = None
        self._estimator = estimator
        self._name = type(estimator).__name__
        self._train = _locked(train)
        self._validation = _locked(validation)
        self._target = as_tensor(validation.target)
        self._rounds: Iterator[Round] | None = None
        self._over = False
        self._kept: Callable[[], Files] | None = None
        self._outputs: Tensor | None = None
        self._held_out: Tensor | None = None
        self._randomness = Randomness(torch.device("cpu"))
        self._next_save = 0.0

    @property
    def parameters(self) -> int:
        """Number of learned values."""
        return self._estimator.parameters

    @property
    def all_parameters(self) -> int:
        """The same: an estimator has no frozen ones."""
        return self._estimator.parameters

    @property
    def finished(self) -> bool:
        """Whether the estimator has no further round, or its epochs or its patience are spent."""
        return self._over or is_finished(self.settings, self.epoch, self.best)

    def run_epoch(self) -> EpochResult:
        """Train for one round and evaluate.

        Raises:
            DivergedError: the loss or the optimised metric is not finite.
            TrainError: the trial is finished, or the estimator ends without its last round.
            ConfigError: the estimator's outputs have a wrong shape.
        """
        if self.finished:
            raise TrainError(f"the trial has finished after {self.epoch} rounds and has no other")
        result = self.advance()
        if found := better_epoch(result, self.best, self.task):
            self.keep(found)
        return result

    @property
    def over(self) -> bool:
        """Whether the estimator has no further round."""
        return self._over

    def advance(self) -> EpochResult:
        """Train for one round and evaluate, and leave it open whether it is the best one.

        Raises:
            DivergedError: see `run_epoch`.
            TrainError: see `run_epoch`.
            ConfigError: see `run_epoch`.
        """
        start = time.perf_counter()
        with self._randomness.active():
            done = self._next()
            trained = time.perf_counter()
            metrics = self._measured(done)
        self.epoch += 1
        self._over = done.last
        require_finite(self.task.metric, done.loss, metrics)
        ended = time.perf_counter()
        return EpochResult(
            self.epoch, done.loss, metrics, trained - start, ended - trained, done.steps
        )

    def keep(self, best: BestEpoch) -> None:
        """Keep the present state of the estimator as the best one.

        Raises:
            TrainError: its files are none that a bundle may hold.
        """
        self.best, self._held_out = best, self._outputs
        first, self._kept = self._kept is None, self._estimator.keep()
        if first:  # else the trial would be trained in vain
            self._plain(self._kept())

    @property
    def due(self) -> bool:
        """Whether `save` would write something now."""
        return self._estimator.resumes and time.perf_counter() >= self._next_save

    def best_weights(self) -> dict[str, Tensor]:
        """Files of the estimator after its best round, as uint8 tensors by name.

        Raises:
            TrainError: no round is finished, or the files are none that a bundle may hold.
        """
        if self._kept is None:
            raise TrainError("no round is finished, so that there is no best one")
        return as_tensors(self._plain(self._kept()))

    def held_out(self) -> Tensor | None:
        """See `TrialLoop`; None where the best round was before a restart."""
        return self._held_out

    def save(self, folder: Path) -> None:
        """Write what the rest of the trial depends on, now and then; call it between rounds.

        Nothing is written of an estimator that cannot go on from its files.
        """
        start = time.perf_counter()
        if not self.due:
            return
        tensors = under(_STATE, as_tensors(self._plain(self._estimator.save())))
        tensors |= under(_BEST, self.best_weights())
        tensors |= under(_RANDOM, self._randomness.states)
        state = {
            "epoch": self.epoch,
            "best": self.best and self.best.to_json(),
            "settings": fixed(self.settings),
        }
        if self._over:  # of a fold that waits for the others
            state["over"] = True
        save_checkpoint(folder, Checkpoint(tensors, state))
        end = time.perf_counter()
        self._next_save = end + (end - start) / _SHARE

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint as if there had been no interruption.

        Raises:
            CheckpointError: it is absent, torn, or of a trial with other settings; or the
                estimator does not take its files.
        """
        checkpoint = load_checkpoint(folder)
        tensors, state = checkpoint.tensors, checkpoint.state
        if state.get("settings") != fixed(self.settings):
            raise CheckpointError(
                "the checkpoint is of a trial with other settings",
                found=state.get("settings"),
                remedy="Restore it with the config that it was trained with",
            )
        try:
            self._estimator.load(as_files(within(_STATE, tensors)))
        except Exception as error:  # the user's code may raise anything
            raise CheckpointError(
                f"{self._name} does not take the files of its checkpoint"
                f" ({type(error).__name__}: {error})",
                found=str(folder),
            ) from error
        self._outputs = self._held_out = None
        best = as_files(within(_BEST, tensors))
        self._kept = lambda: best
        self._randomness.states = within(_RANDOM, tensors)
        self.epoch = state["epoch"]
        self._over = state.get("over", False)
        self.best = state["best"] and BestEpoch.from_json(state["best"])

    def _next(self) -> Round:
        if self._rounds is None:
            self._rounds = self._estimator.fit(
                self._train, self._validation, task=self.task, settings=self.settings
            )
        try:
            done = next(self._rounds)
        except StopIteration:
            raise TrainError(
                f"{self._name}.fit ends after {self.epoch} rounds, none of which it called its"
                " last",
                remedy="Yield the last one as Round(…, last=True)",
            ) from None
        if not isinstance(done, Round):
            raise ConfigError(
                f"{self._name}.fit yields a {type(done).__name__}",
                remedy="Yield a rayml.models.estimators.estimator.Round after each round",
            )
        return done

    def _measured(self, done: Round) -> Mapping[str, float]:
        outputs = done.outputs
        if outputs is None:
            outputs = self._estimator.predict(self._validation.features)
        wanted = (len(self._validation), self.task.outputs)
        with torch.inference_mode():
            self._outputs = found = checked_outputs(self._estimator, outputs, wanted)
            return self.task.evaluate(found, self._target)

    def _plain(self, files: Files) -> Files:
        require_plain(self._name, files)
        return files


def _locked(examples: Examples) -> Examples:
    target = examples.target.view()
    target.flags.writeable = False
    return Examples(locked(examples.features), target)
