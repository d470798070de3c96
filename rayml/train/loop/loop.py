"""The training loop of one model: epochs, the best one, checkpoints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from rayml.errors import CheckpointError, TrainError
from rayml.models.layers.dropout import Dropout, set_dropout_keys
from rayml.models.modules.pooling import members_of
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Task
from rayml.train.loop.batches import Batch, Batches
from rayml.train.loop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, under, within
from rayml.train.loop.evaluate import evaluate, forward
from rayml.train.loop.flat import clip, flatten_parameters
from rayml.train.loop.randomness import Randomness
from rayml.train.loop.results import (
    BestEpoch,
    EpochResult,
    better_epoch,
    fixed,
    is_finished,
    require_finite,
)
from rayml.train.optimizers.average import is_better, share, swapped
from rayml.train.optimizers.model_optimizer import build_optimizer
from rayml.train.optimizers.schedule import rate

_MODEL, _BEST, _OPTIMIZER, _RANDOM = "model.", "best.", "optimizer.", "random."
_AVERAGE = "average"


class TrainingLoop:
    """Trains one model, epoch by epoch.

    The order of batches and dropout follow from the settings' seed; initialisation is the
    model's own affair. On a CPU the same seed gives the same bits, also across a restore.

    Args:
        model: on the device of the batches.
        task: gives loss and metrics.
        train: the training split.
        validation: the split that chooses the best epoch.
        settings: how to train.

    Attributes:
        epoch: number of finished epochs.
        best: the best epoch so far, None before the first.

    Raises:
        ConfigError: the model has no trainable parameter, or one that is not float32.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        train: Batches,
        validation: Batches,
        settings: TrainSettings,
    ) -> None:
        self.model = model
        self.task = task
        self.settings = settings
        self.epoch = 0
        self.best: BestEpoch | None = None
        self._train = train
        self._validation = validation
        self._parameters, self._gradient = flatten_parameters(model)
        self._optimizer = build_optimizer(
            settings.optimizer, model, self._parameters, self._gradient
        )
        self._average = self._parameters.clone() if settings.ema else None
        self._loss = task.members_loss if members_of(model) else task.training_loss
        self._averaged_is_better = False
        self._dropouts = [each for each in model.modules() if isinstance(each, Dropout)]
        self._randomness = Randomness(self._parameters.device)
        self._best_weights: dict[str, Tensor] = {}

    @property
    def parameters(self) -> int:
        """Number of trainable weights."""
        return self._parameters.numel()

    @property
    def all_parameters(self) -> int:
        """Number of weights, frozen ones included."""
        return sum(each.numel() for each in self.model.parameters())

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or too many passed without a better one."""
        return is_finished(self.settings, self.epoch, self.best)

    def run_epoch(self) -> EpochResult:
        """Train for one epoch and evaluate.

        Raises:
            DivergedError: the loss or the optimised metric is not finite. Other metrics may be
                undefined.
            TrainError: the trial is finished.
            ConfigError: the model's outputs have a wrong shape.
        """
        if self.finished:
            raise TrainError(f"the trial has finished after {self.epoch} epochs and has no other")
        result = self.advance()
        if found := better_epoch(result, self.best, self.task):
            self.keep(found)
        return result

    def advance(self) -> EpochResult:
        """Train for one epoch and evaluate, and leave it open whether it is the best one.

        Raises:
            DivergedError: see `run_epoch`.
            ConfigError: see `run_epoch`.
        """
        start = time.perf_counter()
        with self._randomness.active():
            loss = self._train_epoch()
            trained = time.perf_counter()
            metrics, self._averaged_is_better = self._evaluate()
        done = time.perf_counter()
        self.epoch += 1
        require_finite(self.task.metric, loss, metrics)
        return EpochResult(
            self.epoch, loss, metrics, trained - start, done - trained, self._train.steps
        )

    def keep(self, best: BestEpoch) -> None:
        """Keep the present weights, or their average where that is better, as the best ones."""
        self.best = best
        with self._averaged() if self._averaged_is_better else nullcontext():
            state = self.model.state_dict()
            self._best_weights = {name: each.detach().clone() for name, each in state.items()}

    @property
    def due(self) -> bool:
        """Whether `save` would write something now."""
        return True

    def best_weights(self) -> dict[str, Tensor]:
        """State of the model after its best epoch, by parameter and buffer.

        Raises:
            TrainError: no epoch is finished.
        """
        if not self._best_weights:
            raise TrainError(
                "no epoch is finished, so that there is no best one",
                remedy="Train for an epoch first",
            )
        return {name: each.clone() for name, each in self._best_weights.items()}

    def held_out(self) -> Tensor | None:
        """None: a network predicts many rows fast, see `TrialLoop`."""
        return None

    def save(self, folder: Path) -> None:
        """Write everything that the rest of the trial depends on; call it between epochs."""
        tensors = under(_MODEL, self.model.state_dict())
        tensors |= under(_BEST, self._best_weights)
        if self._average is not None:
            tensors[_AVERAGE] = self._average
        moments, rest = self._optimizer.save()
        tensors |= under(_OPTIMIZER, moments)
        tensors |= under(_RANDOM, self._randomness.states)
        state = {
            "epoch": self.epoch,
            "best": self.best and self.best.to_json(),
            "settings": fixed(self.settings),
            "optimizer": rest,
        }
        save_checkpoint(folder, Checkpoint(tensors, state))

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint as if there had been no interruption.

        Raises:
            CheckpointError: it is absent, torn, or of a trial with another model or settings.
        """
        checkpoint = load_checkpoint(folder)
        self._require_own(checkpoint)
        tensors = checkpoint.tensors
        # First, since it may refuse: who then begins anew has a model that nothing was put into.
        self._optimizer.load(within(_OPTIMIZER, tensors), checkpoint.state.get("optimizer"))
        for name, own in self.model.state_dict().items():
            own.copy_(tensors[_MODEL + name])
        if self._average is not None:
            self._average.copy_(tensors[_AVERAGE])
        device = self._parameters.device
        self._best_weights = {k: v.to(device) for k, v in within(_BEST, tensors).items()}
        self._randomness.states = within(_RANDOM, tensors)
        self.epoch = checkpoint.state["epoch"]
        best = checkpoint.state["best"]
        self.best = best and BestEpoch.from_json(best)

    def try_steps(self, steps: int) -> None:
        """Train some steps of an epoch, to see what they cost; the loop is of no use afterwards."""
        self._train_epoch(steps)

    def _train_epoch(self, steps: int | None = None) -> float:
        self.model.train()
        step = self.epoch * self._train.steps
        total = torch.zeros((), device=self._parameters.device)
        batches = self._train.epoch(self.settings.seed, self.epoch)
        for batch in itertools.islice(batches, steps):
            # Read once an epoch: each read would wait for the device.
            total.add_(self._step(batch, step), alpha=len(batch.target))
            step += 1
        return total.item() / self._train.rows

    def _step(self, batch: Batch, step: int) -> Tensor:
        settings = self.settings
        factor = rate(settings.schedule, step, settings.stretches * self._train.steps)
        set_dropout_keys(self._dropouts, settings.seed, step)
        self._gradient.zero_()
        with self._precision():
            outputs = forward(self.model, self.task, batch).float()
        loss = self._loss(outputs, batch.target, settings.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm is not None:
            clip(self._gradient, settings.clip_norm)
        self._optimizer.step(factor)
        if self._average is not None:
            self._average.lerp_(self._parameters, share(settings.ema, step))
        return loss.detach()

    def _evaluate(self) -> tuple[Mapping[str, float], bool]:
        """Metrics of the weights or of their average, the better ones, and whether it is these."""
        metrics = evaluate(self.model, self.task, self._validation)
        if self._average is None:
            return metrics, False
        with self._averaged():
            other = evaluate(self.model, self.task, self._validation)
        better = is_better(other, metrics, self.task)
        return (other, True) if better else (metrics, False)

    def _averaged(self) -> AbstractContextManager[None]:
        """The model with the average of its weights."""
        assert self._average is not None
        return swapped(self._parameters, self._average)

    def _precision(self) -> AbstractContextManager[object]:
        if self.settings.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self._parameters.device.type, torch.bfloat16)

    def _require_own(self, checkpoint: Checkpoint) -> None:
        saved = {k: v.shape for k, v in within(_MODEL, checkpoint.tensors).items()}
        own = {k: v.shape for k, v in self.model.state_dict().items()}
        if saved != own or checkpoint.state["settings"] != fixed(self.settings):
            raise CheckpointError(
                "the checkpoint is of a trial with another model or other settings",
                found=checkpoint.state["settings"],
                remedy="Restore it with the config that it was trained with",
            )
