"""A lane trains as the same trial does alone, whatever its neighbours do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rayml.errors import CheckpointError, DivergedError, TrainError
from rayml.models.modules.pooling import learn_pool
from rayml.tasks.table import build_task, outputs_of
from rayml.train.build import apply, build_loop, build_model, train_settings
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.checkpoint import Checkpoint, load_checkpoint
from rayml.train.loop.results import EpochResult, fixed
from rayml.types import Examples, FeatureShape, TargetInfo

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "depth": 2, "dropout": 0.2},
    "resnet": {
        "_target_": "rayml.models.nets.resnet.TabularResNet", "width": 8, "depth": 2,
        "dropout": 0.2, "residual_dropout": 0.1,
    },
    "tabm": {
        "_target_": "rayml.models.nets.tabm.TabM", "k": 3, "width": 8, "depth": 1, "dropout": 0.2,
        "form": "full",
    },
    "ft_transformer": {
        "_target_": "rayml.models.nets.ft_transformer.FTTransformer", "width": 8, "heads": 2,
        "depth": 1, "dropout": 0.2,
    },
    "own": {"_target_": f"{__name__}.Plain", "width": 8},
}  # fmt: skip
# One lane each; every per-lane setting differs somewhere.
LANES: list[dict[str, Any]] = [
    {"train.optimizer.lr": 0.01},
    {
        "train.optimizer.lr": 0.003, "train.clip_norm": 0.5, "train.schedule.name": "constant",
        "train.ema": 0.9,
    },
    {"train.label_smoothing": 0.1, "train.schedule.warmup": 0.3, "train.seed": 11},
    {"train.optimizer.weight_decay": 0.5, "train.epochs": 3, "train.ema": 0.5},
    {"train.optimizer.beta1": 0.8, "train.optimizer.beta2": 0.99, "train.optimizer.momentum": 0.0},
]  # fmt: skip
DROPOUT = [0.2, 0.0, 0.5, 0.1, 0.3]


class Plain(nn.Module):
    """A user's module, which knows nothing of lanes; with a buffer and a frozen parameter."""

    def __init__(self, shape: FeatureShape, outputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(shape.numeric, width)
        self.embed = nn.Embedding(shape.cardinalities[0], width)
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.full((width,), 0.5), requires_grad=False)
        self.register_buffer("shift", torch.full((width,), 0.1))
        self.last = nn.Linear(width, outputs)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        hidden = self.first(numeric) + self.embed(categorical[:, 0]) * self.frozen + self.shift
        result: torch.Tensor = self.last(torch.relu(hidden)) * self.scale
        return result


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[Plain.__module__])


class Case:
    """Trials of one structure, and how each goes alone."""

    def __init__(
        self, base: Mapping[str, Any], train: Examples, validation: Examples, shape: FeatureShape,
        target: TargetInfo,
    ) -> None:  # fmt: skip
        self.base, self.train, self.validation = base, train, validation
        self.shape, self.target = shape, target

    def config(self, lane: int) -> dict[str, Any]:
        params = dict(LANES[lane])
        if "dropout" in self.base["model"]:
            params["model.dropout"] = DROPOUT[lane]
        base = {**self.base, "train": _filled(self.base["train"])}
        return apply(base, params)

    def lane(self, lane: int) -> NewLane:
        config = self.config(lane)
        settings = train_settings(config["train"])
        torch.manual_seed(settings.seed)
        model = build_model(config["model"], shape=self.shape, outputs=outputs_of(self.target))
        learn_pool(model, build_task(self.target))
        return NewLane(lane, model, settings)

    def loop(self, lanes: list[int]) -> LaneLoop:
        new = [self.lane(each) for each in lanes]
        return LaneLoop(
            new,
            build_task(self.target),
            ArrayBatches(self.train, new[0].settings.batch_size, stretch=new[0].settings.stretch),
            ArrayBatches(self.validation, new[0].settings.eval_batch_size),
        )

    def alone(self, lane: int) -> tuple[list[EpochResult], dict[str, torch.Tensor]]:
        loop = build_loop(
            self.config(lane), train=self.train, validation=self.validation, shape=self.shape,
            target=self.target,
        )  # fmt: skip
        results = []
        while not loop.finished:
            results.append(loop.run_epoch())
        return results, loop.best_weights()


def _filled(section: Mapping[str, Any]) -> dict[str, Any]:
    """A train section that holds every key that a lane changes."""
    import dataclasses

    return dataclasses.asdict(train_settings(section))


@pytest.fixture(params=["mlp", "resnet", "own"])
def case(
    request: pytest.FixtureRequest, config: dict[str, Any], train: Examples, validation: Examples,
    shape: FeatureShape, target: TargetInfo,
) -> Case:  # fmt: skip
    model = MODELS[request.param]
    return Case({**config, "model": model}, train, validation, shape, target)


def finish(loop: LaneLoop, results: dict[int, list[EpochResult]]) -> dict[int, dict[str, Any]]:
    """Train all lanes to their ends; the weights of each."""
    weights = {}
    while True:
        for number, result in loop.run_epoch().items():
            assert isinstance(result, EpochResult)
            results.setdefault(number, []).append(result)
        over = [lane.number for lane in loop.lanes if lane.finished]
        weights |= {number: loop.best_weights(number) for number in over}
        if len(over) == len(loop):
            return weights
        loop.drop(over)


def assert_as_alone(
    case: Case, lane: int, results: list[EpochResult], weights: Mapping[str, torch.Tensor]
) -> None:
    alone, own = case.alone(lane)
    assert [each.epoch for each in results] == [each.epoch for each in alone]
    for one, other in zip(results, alone, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3, abs=1e-5)
        assert dict(one.metrics) == pytest.approx(dict(other.metrics), rel=2e-3, abs=6e-3)
    assert weights.keys() == own.keys()
    # Muon makes the small singular values of a step as large as the others, their rounding too.
    wide = 10 if case.base["train"]["optimizer"]["name"] == "muon" else 1
    for name, each in own.items():
        torch.testing.assert_close(weights[name], each, rtol=wide * 2e-3, atol=wide * 2e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_each_lane_trains_as_alone(case: Case, optimizer: str) -> None:
    case.base["train"]["optimizer"]["name"] = optimizer
    loop, results = case.loop(list(range(len(LANES)))), {}
    weights = finish(loop, results)
    for lane in range(len(LANES)):
        assert_as_alone(case, lane, results[lane], weights[lane])


@pytest.mark.parametrize("length", [{}, {"steps": 36, "eval_steps": 9}])
def test_pruned_and_refilled_neighbours_change_nothing(case: Case, length: dict[str, int]) -> None:
    case.base["train"] |= length
    loop, results = case.loop([0, 1]), {}
    for number, result in loop.run_epoch().items():
        assert isinstance(result, EpochResult)
        results.setdefault(number, []).append(result)
    loop.drop([0])
    loop.add([case.lane(2), case.lane(4)])
    for number, result in loop.run_epoch().items():
        assert isinstance(result, EpochResult)
        results.setdefault(number, []).append(result)
    loop.drop([4])
    weights = finish(loop, results)
    for lane in (1, 2):
        assert_as_alone(case, lane, results[lane], weights[lane])


def test_a_restored_cohort_goes_on_bit_for_bit(case: Case, tmp_path: Path) -> None:
    loop = case.loop([0, 1, 2])
    loop.run_epoch()
    loop.save(tmp_path)
    again = case.loop([0, 1, 2])
    again.restore(load_checkpoint(tmp_path))
    one, other = {}, {}
    assert finish(loop, one).keys() == finish(again, other).keys()
    for number in (0, 1, 2):
        assert [each.loss for each in one[number]] == [each.loss for each in other[number]]
        assert [dict(each.metrics) for each in one[number]] == [
            dict(each.metrics) for each in other[number]
        ]


def test_a_checkpoint_gives_each_lane_what_it_holds_of_it(case: Case, tmp_path: Path) -> None:
    loop = case.loop([0, 1, 2])
    first = loop.run_epoch()
    loop.save(tmp_path)
    again = case.loop([2, 4, 1])  # 0 has ended, 4 is new
    again.restore(load_checkpoint(tmp_path))
    assert [lane.epoch for lane in again.lanes] == [1, 0, 1]
    results: dict[int, list[EpochResult]] = {}
    for number, result in first.items():
        assert isinstance(result, EpochResult)
        results[number] = [result]
    weights = finish(again, results)
    for lane in (1, 2, 4):
        assert_as_alone(case, lane, results[lane], weights[lane])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_copy_goes_on_as_the_other_with_its_settings_would(
    case: Case, optimizer: str, tmp_path: Path
) -> None:
    case.base["train"]["optimizer"]["name"] = optimizer
    loop = case.loop([0, 1, 4])
    for _ in range(2):
        loop.run_epoch()
    loop.save(tmp_path)
    # Lane 2 has a dropout, a smoothing, a warmup and a seed of its own.
    loop.copy(0, replace(case.lane(2), number=1))
    one: dict[int, list[EpochResult]] = {}
    finish(loop, one)

    reference = case.loop([2])
    reference.lanes[0].number = 0
    saved = load_checkpoint(tmp_path)
    lanes = [dict(each) for each in saved.state["lanes"]]
    lanes[0]["settings"] = fixed(reference.lanes[0].settings)
    reference.restore(Checkpoint(saved.tensors, {"lanes": lanes}))
    other: dict[int, list[EpochResult]] = {}
    finish(reference, other)
    assert len(one[1]) == len(other[0]) == 2
    assert_close(one[1], other[0])
    # The one that was copied, and the one beside them, go on as if nothing were.
    for lane in (0, 4):
        assert_close(one[lane], case.alone(lane)[0][-2:])


def assert_close(one: list[EpochResult], other: list[EpochResult]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert mine.epoch == theirs.epoch
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-3, abs=1e-5)
        assert dict(mine.metrics) == pytest.approx(dict(theirs.metrics), rel=2e-3, abs=6e-3)


def test_a_copied_trial_keeps_its_own_best_epoch(case: Case, tmp_path: Path) -> None:
    loop = case.loop([0, 1])
    loop.run_epoch()
    before, best = loop.best_weights(1), loop.lanes[1].best
    loop.copy(0, case.lane(1))
    assert loop.lanes[1].best == best
    loop.save(tmp_path)
    again = case.loop([0, 1])
    again.restore(load_checkpoint(tmp_path))
    assert torch.equal(again._stack.values[0], again._stack.values[1])
    for name, each in before.items():
        assert torch.equal(loop.best_weights(1)[name], each)
        assert torch.equal(again.best_weights(1)[name], each)
    one, other = loop.run_epoch(), again.run_epoch()
    for number in (0, 1):
        mine, theirs = one[number], other[number]
        assert isinstance(mine, EpochResult)
        assert isinstance(theirs, EpochResult)
        assert mine.loss == theirs.loss


def test_a_lane_copies_one_of_its_age(case: Case) -> None:
    loop = case.loop([0])
    loop.run_epoch()
    loop.add([case.lane(1)])
    with pytest.raises(TrainError, match="different numbers of epochs"):
        loop.copy(0, case.lane(1))


def test_a_checkpoint_of_other_settings_is_refused(case: Case, tmp_path: Path) -> None:
    loop = case.loop([0, 2])
    loop.save(tmp_path)
    other = case.loop([0, 1])
    other.lanes[1].number = 2
    with pytest.raises(CheckpointError, match="other models or settings"):
        other.restore(load_checkpoint(tmp_path))


def test_a_lane_that_diverges_leaves_the_others_alone(case: Case) -> None:
    loop = case.loop([0, 1])
    torch.nn.init.constant_(loop._stack.leaves[0][1], float("nan"))
    results = loop.run_epoch()
    assert isinstance(results[0], EpochResult)
    assert isinstance(results[1], DivergedError)
    loop.drop([1])
    done: dict[int, list[EpochResult]] = {0: [results[0]]}
    weights = finish(loop, done)
    assert_as_alone(case, 0, done[0], weights[0])


def test_lanes_of_another_structure_are_refused(case: Case) -> None:
    loop = case.loop([0])
    case.base["model"] = {**case.base["model"], "width": 12}
    with pytest.raises(TrainError, match="another structure"):
        loop.add([case.lane(1)])
    case.base["train"]["optimizer"]["name"] = "sgd"
    with pytest.raises(TrainError, match="its cohort uses"):
        loop.add([case.lane(1)])


def test_a_finished_lane_has_no_further_epoch(case: Case) -> None:
    loop = case.loop([3])
    for _ in range(3):
        loop.run_epoch()
    with pytest.raises(TrainError, match="no further epoch"):
        loop.run_epoch()
