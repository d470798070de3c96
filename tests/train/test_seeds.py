"""Each seed trains as the trial would with that seed, whatever other seeds train beside it."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import DivergedError
from rayml.models.nets.mlp import MLP
from rayml.settings.train import TrainSettings
from rayml.train import seed_lanes
from rayml.train.build import apply, build_loop
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.seed_results import FailedSeed, SeedResult
from rayml.train.seeds import train_seeds
from rayml.train.speed import probe
from rayml.train.speed.process import reset_process


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Fragile.__module__])


@pytest.fixture
def data(train: Any, validation: Any, shape: Any, target: Any) -> dict[str, Any]:
    return {"train": train, "validation": validation, "shape": shape, "target": target}


class Fragile(MLP):
    """Whose weights are no numbers if its seed is 5."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if torch.initial_seed() == 5:
            torch.nn.init.constant_(self.head.weight, float("nan"))


class Lonely(MLP):
    """Whose forward pass depends on a value, which stacked models have many of."""

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        if self.head.weight.sum().item() > 1e6:
            raise ValueError
        return super().forward(numeric, categorical)

    stacks = False


def all_of(config: dict[str, Any], seeds: list[int], data: dict[str, Any]) -> dict[int, SeedResult]:
    """The results by seed; none fails."""
    found = {}
    for each in train_seeds(config, seeds, **data):
        assert isinstance(each, SeedResult)
        found[each.seed] = each
    return found


def assert_same(one: SeedResult, other: SeedResult) -> None:
    """Equal up to what float32 leaves of lanes that are stacked in another number."""
    assert (one.seed, one.best.epoch, one.steps) == (other.seed, other.best.epoch, other.steps)
    assert one.parameters == other.parameters
    assert dict(one.best.metrics) == pytest.approx(dict(other.best.metrics), rel=2e-3, abs=6e-3)
    assert list(one.weights) == list(other.weights)
    for name, each in one.weights.items():
        torch.testing.assert_close(each, other.weights[name], rtol=2e-3, atol=2e-4)


def differ(one: SeedResult, other: SeedResult) -> bool:
    return any(
        not torch.allclose(each, other.weights[name], rtol=0.05)
        for name, each in one.weights.items()
    )


def test_a_seed_is_the_trial_with_that_seed(config: dict[str, Any], data: dict[str, Any]) -> None:
    [result] = train_seeds(config, [11], **data)
    loop = build_loop(apply(config, {"train.seed": 11}), **data)
    steps = 0
    while not loop.finished:
        steps += loop.run_epoch().steps
    assert isinstance(result, SeedResult)
    assert result.seed == 11
    assert result.best == loop.best
    assert result.steps == steps == 4 * 8
    assert result.parameters == sum(each.numel() for each in loop.model.parameters())
    assert result.seconds > 0
    weights = loop.best_weights()
    assert list(result.weights) == list(weights)
    assert all(torch.equal(result.weights[name], each) for name, each in weights.items())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_seeds_train_together_as_each_does_alone(
    config: dict[str, Any], data: dict[str, Any], optimizer: str
) -> None:
    config = apply(config, {"train.optimizer.name": optimizer})
    together = all_of(config, [3, 5, 8], data)
    other = apply(config, {"train.seed": 99})
    for seed, result in together.items():
        [alone] = train_seeds(other, [seed], **data)
        assert isinstance(alone, SeedResult)
        assert_same(result, alone)
    assert differ(together[3], together[5])
    assert differ(together[5], together[8])


def test_each_seed_stops_by_its_own_patience(config: dict[str, Any], data: dict[str, Any]) -> None:
    config["task"]["metric"] = "loss"
    config["train"] |= {"patience": 1, "epochs": 12, "optimizer": {"name": "adamw", "lr": 0.1}}
    together = all_of(config, [1, 2, 3, 4], data)
    assert len({each.steps for each in together.values()}) > 1
    for seed, result in together.items():
        [alone] = train_seeds(config, [seed], **data)
        assert isinstance(alone, SeedResult)
        assert result.steps == alone.steps
        assert result.best.epoch == alone.best.epoch


def test_as_many_seeds_at_a_time_as_the_memory_takes(
    config: dict[str, Any], data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = all_of(config, [1, 2, 3], data)
    sizes = []

    class Watched(LaneLoop):
        def __init__(self, lanes: Any, *args: Any) -> None:
            super().__init__(lanes, *args)
            sizes.append(len(lanes))

    monkeypatch.setattr(seed_lanes, "LaneLoop", Watched)
    assert all_of(config, [1, 2, 3], data).keys() == expected.keys()
    assert sizes == [3]
    monkeypatch.setattr(probe, "free_memory", lambda device: 1)
    found = all_of(config, [1, 2, 3], data)
    assert sizes == [3, 1, 1, 1]
    for seed, result in found.items():
        assert_same(result, expected[seed])


def test_models_that_cannot_be_stacked_train_one_after_another(
    config: dict[str, Any], data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = all_of(config, [1, 2], data)
    monkeypatch.setattr(seed_lanes, "LaneLoop", None)
    config["model"]["_target_"] = f"{__name__}.Lonely"
    for seed, result in all_of(config, [1, 2], data).items():
        assert_same(result, expected[seed])


def test_seeds_differ_in_initialisation_dropout_and_batch_order(
    config: dict[str, Any], data: dict[str, Any]
) -> None:
    loops = [build_loop(apply(config, {"train.seed": seed}), **data) for seed in (1, 2)]
    start = [loop.model.head.weight.clone() for loop in loops]
    assert not torch.equal(*start)
    # From equal weights: batch order and dropout alone make a difference.
    loops[1].model.load_state_dict(loops[0].model.state_dict())
    for loop in loops:
        loop.run_epoch()
    assert not torch.equal(loops[0].model.head.weight, loops[1].model.head.weight)


@pytest.mark.parametrize("seeds", [[5], [4, 5, 6], [5, 6]])
def test_a_seed_that_diverges_fails_alone(
    config: dict[str, Any], data: dict[str, Any], seeds: list[int]
) -> None:
    config["model"]["_target_"] = f"{__name__}.Fragile"
    found = {each.seed: each for each in train_seeds(config, seeds, **data)}
    assert sorted(found) == seeds
    failed = found.pop(5)
    assert isinstance(failed, FailedSeed)
    assert isinstance(failed.error, DivergedError)
    for seed, result in found.items():
        assert isinstance(result, SeedResult)
        [alone] = train_seeds(config, [seed], **data)
        assert isinstance(alone, SeedResult)
        assert_same(result, alone)


def test_a_process_starts_each_trial_alike() -> None:
    threads = torch.get_num_threads()
    try:
        drawn = []
        for _ in range(2):
            reset_process(TrainSettings(seed=4, threads=1))
            drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
            torch.set_default_dtype(torch.float64)
        reset_process(TrainSettings())
        assert drawn[0] == drawn[1]
        assert torch.get_default_dtype() == torch.float32
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
