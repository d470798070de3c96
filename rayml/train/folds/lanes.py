"""The folds of trials as lanes of one stacked model, each with rows of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rayml.errors import DivergedError
from rayml.tasks.task import Task
from rayml.train.folds.batches import FoldBatches
from rayml.train.folds.parts import joined, mean_metrics, merged
from rayml.train.lanes.lane import Lane, NewLane
from rayml.train.lanes.lanes import MIN_EVAL_ROWS, LaneLoop
from rayml.train.loop.batches import Batch
from rayml.train.loop.checkpoint import Checkpoint
from rayml.train.loop.results import EpochResult


class StackedFolds(LaneLoop):
    """Lanes that are the folds of trials; a lane's number is its trial's times folds, plus its own.

    The lanes of a trial have the same metrics, the means over its folds, and so the same best
    epoch; `own` has those of each lane by itself.

    Args:
        lanes: the folds of the first trials.
        task: gives loss and metrics.
        batches: rows of the folds.

    Attributes:
        own: metrics of each lane on the rows that its fold holds out, of the last epoch.
    """

    def __init__(self, lanes: Sequence[NewLane], task: Task, batches: FoldBatches) -> None:
        super().__init__(lanes, task, batches.whole, batches.whole)
        self._folds = batches
        self.rows, self.steps = batches.rows, batches.steps
        self.own: list[dict[str, float]] = []

    def _batches(self) -> Iterator[Batch]:
        places = [
            (lane.number % self._folds.count, lane.settings.seed, lane.epoch) for lane in self.lanes
        ]
        orders = {each: self._folds.order(*each) for each in set(places)}
        yield from self._folds.whole.lanes(torch.stack([orders[each] for each in places]))

    def _measure(self) -> tuple[list[dict[str, float]], list[int]]:
        self.own, averaged = super()._measure()
        by_trial: dict[int, list[dict[str, float]]] = {}
        for lane, metrics in zip(self.lanes, self.own, strict=True):
            by_trial.setdefault(lane.number // self._folds.count, []).append(metrics)
        means = {k: mean_metrics(self.task.metric, each) for k, each in by_trial.items()}
        return [dict(means[lane.number // self._folds.count]) for lane in self.lanes], averaged

    @torch.inference_mode()
    def _evaluate(self) -> list[dict[str, float]]:
        self._stack.train(False)
        rows = max(MIN_EVAL_ROWS, self._eval_rows // len(self.lanes))
        folds = torch.tensor([lane.number % self._folds.count for lane in self.lanes])
        outputs: list[list[Tensor]] = [[] for _ in self.lanes]
        for lengths, batch in self._folds.held_out(rows):
            own = folds.to(batch.numeric.device)
            found = self._stack(batch.numeric[own], batch.categorical[own])
            for row, fold in enumerate(folds.tolist()):
                outputs[row].append(found[row, : int(lengths[fold])])
        measured: list[dict[str, float]] = [{}] * len(self.lanes)
        for fold in range(self._folds.count):
            places = (folds == fold).nonzero().flatten().tolist()
            of_fold = torch.stack([torch.cat(outputs[row]) for row in places])
            target = self._folds.whole.take(self._folds.held[fold]).target
            for row, each in zip(places, self.task.evaluate_lanes(of_fold, target), strict=True):
                measured[row] = each
        return measured


class FoldLoop:
    """Trains the folds of several trials together; to its cohort it is a loop of trials.

    Args:
        lanes: the first trials, each with its other folds.
        task: gives loss and metrics.
        batches: rows of the folds.

    Attributes:
        stacked: the lanes of all folds.
    """

    def __init__(self, lanes: Sequence[NewLane], task: Task, batches: FoldBatches) -> None:
        self._count = batches.count
        self._task = task
        self.stacked = StackedFolds(self._folds(lanes), task, batches)

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def lanes(self) -> list[Lane]:
        """The present trials."""
        return [
            replace(lane, number=lane.number // self._count)
            for lane in self.stacked.lanes
            if lane.number % self._count == 0
        ]

    @property
    def parameters(self) -> int:
        """Number of trainable weights of a trial, of all its folds."""
        return self._count * self.stacked.parameters

    def add(self, lanes: Sequence[NewLane]) -> None:
        """Append trials, see `LaneLoop.add`."""
        self.stacked.add(self._folds(lanes))

    def drop(self, numbers: Sequence[int]) -> None:
        """Drop some trials; at least one must stay."""
        self.stacked.drop([each for number in numbers for each in self._numbers(number)])

    def copy(self, winner: int, lane: NewLane) -> None:
        """Let each fold of a trial go on from that of another one, see `LaneLoop.copy`."""
        for source, each in zip(self._numbers(winner), self._folds([lane]), strict=True):
            self.stacked.copy(source, each)

    def run_epoch(self) -> dict[int, EpochResult | DivergedError]:
        """Train every trial for one epoch and evaluate it, see `LaneLoop.run_epoch`.

        Returns:
            By number of the trial its result: the means over the folds. A trial diverges with any
            of its folds.
        """
        found = self.stacked.run_epoch()
        results: dict[int, EpochResult | DivergedError] = {}
        own = {
            lane.number: metrics
            for lane, metrics in zip(self.stacked.lanes, self.stacked.own, strict=True)
        }
        for lane in self.lanes:
            folds = []
            for number in self._numbers(lane.number):
                result = found[number]
                if isinstance(result, DivergedError):
                    results[lane.number] = result
                    break
                folds.append(replace(result, metrics=own[number]))
            else:
                results[lane.number] = merged(folds, self._task.metric)
        return results

    def best_weights(self, number: int) -> Mapping[str, Tensor]:
        """Weights of the models of all folds after the trial's best epoch, see `parted`."""
        return joined([self.stacked.best_weights(each) for each in self._numbers(number)])

    def save(self, folder: Path) -> None:
        """Write everything that the rest of the trials depends on; call it between epochs."""
        self.stacked.save(folder)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint as if there had been no interruption, see `LaneLoop.restore`."""
        self.stacked.restore(checkpoint)

    def _numbers(self, number: int) -> list[int]:
        return [number * self._count + fold for fold in range(self._count)]

    def _folds(self, lanes: Sequence[NewLane]) -> list[NewLane]:
        return [
            replace(each, number=number, others=())
            for lane in lanes
            for number, each in zip(self._numbers(lane.number), (lane, *lane.others), strict=True)
        ]
