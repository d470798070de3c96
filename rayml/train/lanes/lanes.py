"""The training loop of many models at once: trials of one structure as lanes of stacked tensors."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rayml.errors import CheckpointError, DivergedError, TrainError
from rayml.tasks.task import Task
from rayml.train.lanes.epoch import EpochSettings
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.lane import Lane, NewLane
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import ArrayBatches, Batch
from rayml.train.loop.checkpoint import Checkpoint, save_checkpoint, under
from rayml.train.loop.results import BestEpoch, EpochResult, fixed, require_finite
from rayml.train.optimizers.average import Average, is_better, swapped
from rayml.train.optimizers.muon import hidden_matrices
from rayml.train.optimizers.optim import LaneOptimizer, Rates

_VALUES, _BEST, _AVERAGE = "values", "best", "average"
_BUFFERS, _BEST_BUFFERS, _OPTIMIZER = "buffers.", "best_buffers.", "optimizer."
MIN_EVAL_ROWS = 64
"""Rows of a lane that are evaluated at a time at least."""


class LaneLoop:
    """Trains models of one structure together, epoch by epoch; each as it would train alone.

    Rates, schedules, clipping, label smoothing, dropout, the order of batches and the number of
    epochs are a lane's own and follow from its settings alone; the batch size and the optimizer
    are the same in all. Lanes may be dropped and added between epochs. Those of the same seed at
    the same epoch read the same batches, which are gathered once.

    Args:
        lanes: the first ones.
        task: gives loss and metrics.
        train: the training split.
        validation: the split that chooses each lane's best epoch.

    Attributes:
        lanes: the present ones, in the order of their rows.
        gradients: computes those of a step.
        device: of the lanes.
        rows: that an epoch of a lane trains on.
        steps: of an epoch.

    Raises:
        ConfigError: a model has no trainable parameter, or one that is not float32.
        TrainError: models that cannot be stacked.
    """

    def __init__(
        self,
        lanes: Sequence[NewLane],
        task: Task,
        train: ArrayBatches,
        validation: ArrayBatches,
    ) -> None:
        first = lanes[0].settings
        self.lanes = [Lane(each.number, each.settings) for each in lanes]
        self.task = task
        self._train_split = train
        self.rows, self.steps = train.rows, train.steps
        self._validation = validation
        self._eval_rows = first.eval_batch_size
        # Before the stack takes the first model's parameters.
        matrices = hidden_matrices(lanes[0].model) if first.optimizer.name == "muon" else ()
        self._stack = StackedModel([each.model for each in lanes])
        bfloat16 = first.precision == "bfloat16"
        self.gradients = LaneGradients(self._stack, task, bfloat16=bfloat16)
        values = self._stack.values
        self.device = values.device
        self._optimizer_name = first.optimizer.name
        width = values.shape[1]
        self._optimizer = LaneOptimizer(
            self._optimizer_name, len(lanes), width, values.device, matrices=matrices
        )
        self._gradient = torch.zeros_like(values)
        self._average = Average(values, [each.settings.ema for each in lanes])
        self._best = values.clone()
        self._best_buffers = {k: v.clone() for k, v in self._stack.buffers.items()}
        self._require_alike(lanes)

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def stacked(self) -> LaneLoop:
        """The loop whose steps cost what training costs: itself."""
        return self

    @property
    def parameters(self) -> int:
        """Number of trainable weights of a lane."""
        return self._stack.values.shape[1]

    def add(self, lanes: Sequence[NewLane]) -> None:
        """Append lanes, which begin with their first epoch.

        Raises:
            TrainError: one has another structure or optimizer than the others.
        """
        if not lanes:
            return
        self._require_alike(lanes)
        before = self._stack.values
        self._stack.add([each.model for each in lanes])
        self._optimizer.add(len(lanes))
        self.lanes += [Lane(each.number, each.settings) for each in lanes]
        values, new = self._stack.values, slice(-len(lanes), None)
        self._gradient = torch.zeros_like(values)
        self._average.add(before, values[new], [each.settings.ema for each in lanes])
        self._best = torch.cat([self._best, values[new]])
        self._best_buffers = {
            name: torch.cat([kept, self._stack.buffers[name][new]])
            for name, kept in self._best_buffers.items()
        }

    def drop(self, numbers: Sequence[int]) -> None:
        """Drop the lanes of some trials; at least one must stay."""
        gone = set(numbers)
        stay = [row for row, lane in enumerate(self.lanes) if lane.number not in gone]
        if len(stay) == len(self.lanes):
            return
        index = torch.tensor(stay, dtype=torch.int64, device=self.device)
        self._stack.keep(stay)
        self._optimizer.keep(stay)
        self.lanes = [self.lanes[row] for row in stay]
        self._gradient = torch.zeros_like(self._stack.values)
        self._average.keep(index)
        self._best = self._best.index_select(0, index)
        self._best_buffers = {k: v.index_select(0, index) for k, v in self._best_buffers.items()}

    def copy(self, winner: int, lane: NewLane) -> None:
        """Let a lane go on from the present weights and optimizer state of another one.

        Its best epoch, with the weights of it, stays its own until a later one is better.

        Args:
            winner: number of the trial that is copied.
            lane: how the lane goes on; its model gives what is no state, see `StackedModel.copy`.

        Raises:
            TrainError: they have finished different numbers of epochs, or optimizers differ.
        """
        source, target = self._row(winner), self._row(lane.number)
        self._require_alike([lane])
        if self.lanes[source].epoch != self.lanes[target].epoch:
            raise TrainError(
                f"trial {winner} and the one that copies it have finished different numbers of"
                " epochs"
            )
        self._stack.copy(source, target, lane.model)
        self._optimizer.copy(source, target)
        self._average.copy(source, target, self._stack.values, lane.settings.ema)
        self.lanes[target].settings = lane.settings

    def run_epoch(self) -> dict[int, EpochResult | DivergedError]:
        """Train every lane for one epoch and evaluate it.

        Returns:
            By number of the trial its result, or why it cannot go on. Seconds are a lane's share.

        Raises:
            TrainError: a lane is finished.
            ConfigError: the model's outputs have a wrong shape.
        """
        for lane in self.lanes:
            if lane.finished:
                raise TrainError(f"trial {lane.number} is finished and has no further epoch")
        start = time.perf_counter()
        losses = (self._train(self.steps) / self.rows).tolist()
        trained = time.perf_counter()
        measured, averaged = self._measure()
        share = 1 / len(self.lanes)
        train_seconds = (trained - start) * share
        eval_seconds = (time.perf_counter() - trained) * share
        results: dict[int, EpochResult | DivergedError] = {}
        better: list[int] = []
        for row, (lane, loss, metrics) in enumerate(zip(self.lanes, losses, measured, strict=True)):
            lane.epoch += 1
            try:
                require_finite(self.task.metric, loss, metrics)
            except DivergedError as error:
                results[lane.number] = error
                continue
            if self._is_best(lane, metrics):
                better.append(row)
            results[lane.number] = EpochResult(
                lane.epoch, loss, metrics, train_seconds, eval_seconds, self.steps
            )
        self._keep_best(better, averaged)
        return results

    def best_weights(self, number: int) -> dict[str, Tensor]:
        """State of a trial's model after its best epoch, by parameter and buffer.

        Raises:
            TrainError: it has finished no epoch.
        """
        row = self._row(number)
        if self.lanes[row].best is None:
            raise TrainError(
                f"trial {number} has no best weights yet", remedy="Train it for an epoch first"
            )
        return self._stack.state(row, self._best, self._best_buffers)

    def save(self, folder: Path) -> None:
        """Write everything that the rest of the trials depends on; call it between epochs."""
        tensors = {_VALUES: self._stack.values, _BEST: self._best}
        if self._average.values is not None:
            tensors[_AVERAGE] = self._average.values
        tensors |= under(_BUFFERS, self._stack.buffers)
        tensors |= under(_BEST_BUFFERS, self._best_buffers)
        tensors |= under(_OPTIMIZER, self._optimizer.state)
        state = {
            "lanes": [
                {
                    "number": lane.number,
                    "epoch": lane.epoch,
                    "best": lane.best and lane.best.to_json(),
                    "settings": fixed(lane.settings),
                }
                for lane in self.lanes
            ]
        }
        save_checkpoint(folder, Checkpoint(tensors, state))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if there had been no interruption.

        Lanes that it does not hold begin with their first epoch; those of it that are not among
        the present lanes are left aside.

        Raises:
            CheckpointError: it is of other models or settings.
        """
        saved = {each["number"]: row for row, each in enumerate(checkpoint.state["lanes"])}
        rows = [saved.get(lane.number) for lane in self.lanes]
        self._require_own(checkpoint, rows)
        own = torch.tensor([row for row, other in enumerate(rows) if other is not None])
        theirs = torch.tensor([other for other in rows if other is not None])
        if not len(own):
            return
        tensors = checkpoint.tensors

        def put(target: Tensor, name: str) -> None:
            target[own.to(target.device)] = tensors[name][theirs].to(target.device)

        put(self._stack.values, _VALUES)
        put(self._best, _BEST)
        if self._average.values is not None:
            # Lanes without averages were saved without them.
            put(self._average.values, _AVERAGE if _AVERAGE in tensors else _VALUES)
        for name, each in self._stack.buffers.items():
            put(each, _BUFFERS + name)
            put(self._best_buffers[name], _BEST_BUFFERS + name)
        state = dict(self._optimizer.state)
        for name, each in state.items():
            put(each, _OPTIMIZER + name)
        self._optimizer.load(state)
        for lane, row in zip(self.lanes, rows, strict=True):
            if row is not None:
                each = checkpoint.state["lanes"][row]
                lane.epoch = each["epoch"]
                lane.best = each["best"] and BestEpoch.from_json(each["best"])

    def try_steps(self, steps: int) -> None:
        """Train some steps of an epoch, to see what they cost; the loop is of no use afterwards."""
        self._train(min(steps, self.steps))

    def try_gradients(self) -> Callable[[], object]:
        """What computes the gradients of an epoch's first step and trains nothing, to time it."""
        self._stack.train()
        own = self._settings(1)
        if own.keys is not None:
            self._stack.set_dropout_keys(own.keys[0])
        batch = next(self._batches())
        return lambda: self.gradients(batch, own.smoothing, self._gradient)

    def _train(self, steps: int) -> Tensor:
        """Train the first steps of an epoch; training losses summed over rows, [lanes]."""
        self._stack.train()
        own = self._settings(steps)
        total = torch.zeros(len(self.lanes), device=self.device)
        for step, batch in enumerate(itertools.islice(self._batches(), steps)):
            if own.keys is not None:
                self._stack.set_dropout_keys(own.keys[step])
            loss = self.gradients(batch, own.smoothing, self._gradient)
            if own.norms is not None:
                norm = self._gradient.norm(dim=1, keepdim=True)
                self._gradient.mul_((own.norms / (norm + 1e-12)).clamp(max=1.0))
            rates = [
                Rates(lane.settings.optimizer.lr * factor[step], lane.settings.optimizer)
                for lane, factor in zip(self.lanes, own.factors, strict=True)
            ]
            self._optimizer.step(self._stack.values, self._gradient, rates)
            if own.shares is not None:
                self._average.step(self._stack.values, own.shares[step])
            total.add_(loss, alpha=batch.target.shape[-1])
        return total

    def _settings(self, steps: int) -> EpochSettings:
        """What the lanes' settings give for the first steps of an epoch."""
        return EpochSettings.of(
            self.lanes,
            epoch=self.steps,
            steps=steps,
            dropouts=self._stack.dropouts,
            averages=self._average.values is not None,
            device=self.device,
        )

    def _batches(self) -> Iterator[Batch]:
        """The training batches of an epoch: shared, or [lanes, rows, ...] where orders differ."""
        places = [(lane.settings.seed, lane.epoch) for lane in self.lanes]
        if len(set(places)) == 1:
            yield from self._train_split.epoch(*places[0])
            return
        orders = {each: self._train_split.order(*each) for each in set(places)}
        yield from self._train_split.lanes(torch.stack([orders[each] for each in places]))

    def _measure(self) -> tuple[list[dict[str, float]], list[int]]:
        """Metrics of each lane's weights or their average, the better; rows where it is that."""
        measured = self._evaluate()
        if self._average.values is None:
            return measured, []
        with swapped(self._stack.values, self._average.values):
            others = self._evaluate()
        pairs = enumerate(zip(others, measured, strict=True))
        averaged = [row for row, (one, other) in pairs if is_better(one, other, self.task)]
        for row in averaged:
            measured[row] = others[row]
        return measured, averaged

    @torch.inference_mode()
    def _evaluate(self) -> list[dict[str, float]]:
        self._stack.train(False)
        rows = max(MIN_EVAL_ROWS, self._eval_rows // len(self.lanes))
        outputs, targets = [], []
        for batch in self._validation.in_order(rows):
            outputs.append(self._stack(batch.numeric, batch.categorical))
            targets.append(batch.target)
        return self.task.evaluate_lanes(torch.cat(outputs, dim=1), torch.cat(targets))

    def _row(self, number: int) -> int:
        return next(row for row, lane in enumerate(self.lanes) if lane.number == number)

    def _is_best(self, lane: Lane, metrics: Mapping[str, float]) -> bool:
        value = metrics[self.task.metric]
        if lane.best is not None and not lane.best.beaten_by(value, self.task.direction):
            return False
        lane.best = BestEpoch(lane.epoch, value, metrics)
        return True

    def _keep_best(self, rows: Sequence[int], averaged: Sequence[int]) -> None:
        index = torch.tensor(rows, dtype=torch.int64, device=self.device)
        self._best[index] = self._stack.values[index]
        if own := [row for row in rows if row in averaged]:
            assert self._average.values is not None
            self._best[own] = self._average.values[own]
        for name, each in self._stack.buffers.items():
            self._best_buffers[name][index] = each[index]

    def _require_own(self, checkpoint: Checkpoint, rows: Sequence[int | None]) -> None:
        width = checkpoint.tensors[_VALUES].shape[1]
        for lane, row in zip(self.lanes, rows, strict=True):
            if row is None:
                continue
            settings = checkpoint.state["lanes"][row]["settings"]
            if width != self._stack.values.shape[1] or settings != fixed(lane.settings):
                raise CheckpointError(
                    "the checkpoint is of lanes with other models or settings",
                    found=settings,
                    remedy="Restore it with the config that they were trained with",
                )

    def _require_alike(self, lanes: Sequence[NewLane]) -> None:
        for each in lanes:
            if each.settings.optimizer.name != self._optimizer_name:
                raise TrainError(
                    f"trial {each.number} uses the optimizer {each.settings.optimizer.name}, and"
                    f" its cohort uses {self._optimizer_name}"
                )
