"""Each seed trains as the trial would with that seed, whatever other seeds train beside it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import DivergedError
from rayml.train.process import reset_process
from rayml.train.seeds import SeedResult, train_seeds
from rayml.train.trial import apply, build_loop
from rayml.types import TrainSettings


@pytest.fixture
def data(train: Any, validation: Any, shape: Any, target: Any) -> dict[str, Any]:
    return {"train": train, "validation": validation, "shape": shape, "target": target}


def same(one: SeedResult, other: SeedResult) -> bool:
    return (
        one.best == other.best
        and one.steps == other.steps
        and all(torch.equal(other.weights[name], each) for name, each in one.weights.items())
    )


def test_a_seed_is_the_trial_with_that_seed(config: dict[str, Any], data: dict[str, Any]) -> None:
    [result] = train_seeds(config, [11], **data)
    loop = build_loop(apply(config, {"train.seed": 11}), **data)
    steps = 0
    while not loop.finished:
        steps += loop.run_epoch().steps
    assert result.seed == 11
    assert result.best == loop.best
    assert result.steps == steps == 4 * 8
    assert result.parameters == sum(each.numel() for each in loop.model.parameters())
    assert result.seconds > 0
    weights = loop.best_weights()
    assert list(result.weights) == list(weights)
    assert all(torch.equal(result.weights[name], each) for name, each in weights.items())


def test_seeds_do_not_depend_on_one_another(config: dict[str, Any], data: dict[str, Any]) -> None:
    first, second, third = train_seeds(config, [3, 5, 8], **data)
    [alone] = train_seeds(apply(config, {"train.seed": 99}), [5], **data)
    assert [each.seed for each in (first, second, third)] == [3, 5, 8]
    assert same(second, alone)
    assert not same(first, second)
    assert not same(second, third)


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


def test_a_seed_is_there_as_soon_as_it_is_trained(
    config: dict[str, Any], data: dict[str, Any]
) -> None:
    results = train_seeds(config, [1, 2], **data)
    assert next(results).seed == 1
    results.close()  # type: ignore[attr-defined]


def test_a_seed_that_diverges_is_told(config: dict[str, Any], data: dict[str, Any]) -> None:
    with pytest.raises(DivergedError):
        list(train_seeds(apply(config, {"train.optimizer.lr": 1e30}), [1], **data))


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
