"""Trains the seeds of one configuration together, as lanes of stacked tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayml.data.split.folds import Folds
from rayml.errors import DivergedError
from rayml.tasks.task import Task
from rayml.train.build import build_lane, build_trial_task, choose_device, train_settings
from rayml.train.folds.batches import FoldBatches
from rayml.train.folds.lanes import FoldLoop
from rayml.train.lanes.lane import Lane, NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.lanes.structure import same_structure
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.class_weights import weighed
from rayml.train.seed_results import FailedSeed, SeedResult, seeded
from rayml.train.speed.probe import lanes_in_memory, why_not_stacked
from rayml.train.speed.process import reset_process
from rayml.types import Examples, FeatureShape, TargetInfo


@dataclass(slots=True)
class _Spent:
    """Steps and seconds of one seed so far."""

    steps: int = 0
    seconds: float = 0.0


class SeedLanes:
    """Seeds of one configuration whose models can be stacked; see `stacked_seeds`.

    Args:
        lanes: one a seed, which is its number.
        task: gives loss and metrics.
        train: the training split, or the rows of folds.
        validation: the validation split; None where there are folds.
    """

    def __init__(
        self,
        lanes: Sequence[NewLane],
        task: Task,
        train: ArrayBatches | FoldBatches,
        validation: ArrayBatches | None,
    ) -> None:
        self._lanes = lanes
        self._task = task
        self._train = train
        self._validation = validation
        self._folds = 1 + len(lanes[0].others)
        self._parameters = self._folds * sum(each.numel() for each in lanes[0].model.parameters())

    def train(self) -> Iterator[SeedResult | FailedSeed]:
        """Train each seed to its end, as many at a time as the memory takes."""
        count = len(self._lanes)
        train = self._train.whole if isinstance(self._train, FoldBatches) else self._train
        held = lanes_in_memory(self._lanes[0], self._task, train, count * self._folds)
        size = max(1, held // self._folds)
        for start in range(0, count, size):
            yield from self._together(self._lanes[start : start + size])

    def _loop(self, lanes: Sequence[NewLane]) -> LaneLoop | FoldLoop:
        if isinstance(self._train, FoldBatches):
            return FoldLoop(lanes, self._task, self._train)
        assert self._validation is not None
        return LaneLoop(lanes, self._task, self._train, self._validation)

    def _together(self, lanes: Sequence[NewLane]) -> Iterator[SeedResult | FailedSeed]:
        loop = self._loop(lanes)
        spent = {each.number: _Spent() for each in lanes}
        while True:
            over = []
            for number, result in loop.run_epoch().items():
                if isinstance(result, DivergedError):
                    over.append(number)
                    yield FailedSeed(number, result)
                else:
                    spent[number].steps += result.steps
                    spent[number].seconds += result.train_seconds + result.eval_seconds
            for lane in loop.lanes:
                if lane.finished and lane.number not in over:
                    over.append(lane.number)
                    yield self._result(loop, lane, spent[lane.number])
            if len(over) == len(loop):
                return
            loop.drop(over)

    def _result(self, loop: LaneLoop | FoldLoop, lane: Lane, spent: _Spent) -> SeedResult:
        assert lane.best is not None
        return SeedResult(
            seed=lane.number,
            best=lane.best,
            weights={k: each.cpu() for k, each in loop.best_weights(lane.number).items()},
            parameters=self._parameters,
            steps=spent.steps,
            seconds=spent.seconds,
        )


def stacked_seeds(
    config: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    train: Examples,
    validation: Examples,
    shape: FeatureShape,
    target: TargetInfo,
    folds: Folds | None = None,
) -> SeedLanes | None:
    """The lanes of some seeds; None where the configuration's models must train alone.

    Raises:
        ConfigError: any part of the config is wrong.
    """
    settings = train_settings(config["train"])
    device = choose_device(settings.device)
    task = weighed(build_trial_task(config["task"], target), settings, train)
    lanes = []
    for seed in seeds:
        own = seeded(config, seed)
        # A user's module may draw its weights from any of the global generators.
        reset_process(train_settings(own["train"]))
        count = 1 if folds is None else folds.count
        lanes.append(build_lane(seed, own, shape=shape, target=target, folds=count))
    batches = ArrayBatches(train, settings.batch_size, device, stretch=settings.stretch)
    first = lanes[0]
    if not all(same_structure(first.model, each.model) for each in lanes):
        return None
    if why_not_stacked(first, task, batches):
        return None
    if folds is not None:
        dealt = FoldBatches(train, folds, settings.batch_size, device, stretch=settings.stretch)
        return SeedLanes(lanes, task, dealt, None)
    held_out = ArrayBatches(validation, settings.eval_batch_size, device)
    return SeedLanes(lanes, task, batches, held_out)
