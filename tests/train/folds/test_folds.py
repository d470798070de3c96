"""A fold trains as a lane as it does alone, and a trial's folds have one best epoch."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayml.data.split.folds import Folds, deal_by_hash
from rayml.errors import CheckpointError, DivergedError
from rayml.search.cohort.evolution import _saved_epochs
from rayml.train.build import (
    apply,
    build_lane,
    build_loop,
    build_model,
    build_trial_task,
    train_settings,
)
from rayml.train.folds.batches import FoldBatches
from rayml.train.folds.lanes import FoldLoop
from rayml.train.folds.parts import fold_seed, fold_values, joined, parted
from rayml.train.folds.sequential import FoldedTrial
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.checkpoint import load_checkpoint
from rayml.train.loop.evaluate import evaluate
from rayml.train.loop.results import EpochResult
from rayml.train.seed_results import SeedResult
from rayml.train.seeds import train_seeds
from rayml.types import Examples, FeatureShape, TargetInfo

K = 3


@pytest.fixture
def folds(train: Examples) -> Folds:
    keys = np.arange(len(train), dtype=np.uint64)
    keys = np.random.default_rng(0).permutation(keys)
    # 500 rows in 3 folds: two of them have a row more to train on than the third.
    return deal_by_hash(np.zeros(len(keys), np.uint64), keys, K, divide=True)


# Keys that tests change, as a composed config has them all.
NAMED = {"ema": 0.0, "steps": None, "eval_steps": 100}


class Case:
    def __init__(
        self,
        config: dict[str, Any],
        train: Examples,
        folds: Folds,
        shape: FeatureShape,
        target: TargetInfo,
    ) -> None:
        self.config, self.train, self.folds = config, train, folds
        self.shape, self.target = shape, target
        self.task = build_trial_task(config["task"], target)

    def trial(self, number: int) -> dict[str, Any]:
        values = {"train.seed": 7 + number % 2, "train.optimizer.lr": 0.01 + 0.01 * number}
        return apply(self.config, values)

    def loop(self, *numbers: int) -> FoldLoop:
        settings = train_settings(self.config["train"])
        batches = FoldBatches(self.train, self.folds, settings.batch_size, stretch=settings.stretch)
        return FoldLoop([self.lane(each) for each in numbers], self.task, batches)

    def lane(self, number: int) -> Any:
        config = self.trial(number)
        return build_lane(number, config, shape=self.shape, target=self.target, folds=K)

    def alone(self, config: dict[str, Any]) -> FoldedTrial:
        loop = build_loop(
            config,
            train=self.train,
            validation=self.train.rows(np.empty(0, np.int64)),
            shape=self.shape,
            target=self.target,
            folds=self.folds,
        )
        assert isinstance(loop, FoldedTrial)
        return loop


@pytest.fixture
def case(
    config: dict[str, Any],
    train: Examples,
    folds: Folds,
    shape: FeatureShape,
    target: TargetInfo,
) -> Case:
    return Case(config, train, folds, shape, target)


def finish(loop: FoldLoop) -> tuple[dict[int, list[Any]], dict[int, dict[str, torch.Tensor]]]:
    results: dict[int, list[Any]] = {lane.number: [] for lane in loop.lanes}
    weights = {}
    while True:
        for number, result in loop.run_epoch().items():
            results[number].append(result)
        over = [lane.number for lane in loop.lanes if lane.finished]
        weights |= {number: dict(loop.best_weights(number)) for number in over}
        if len(over) == len(loop):
            return results, weights
        loop.drop(over)


def assert_close(ours: dict[str, torch.Tensor], theirs: Any, tolerance: float = 2e-4) -> None:
    assert ours.keys() == theirs.keys()
    for name, each in ours.items():
        torch.testing.assert_close(each, theirs[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "changes",
    [{}, {"train.ema": 0.9}, {"model.dropout": 0.0}, {"train.steps": 40, "train.eval_steps": 8}],
    ids=str,
)
def test_the_folds_of_a_trial_train_as_lanes_as_they_do_alone(
    case: Case, changes: dict[str, Any]
) -> None:
    case.config = {**case.config, "train": {**case.config["train"], **NAMED}}
    case.config = apply(case.config, changes)
    together, weights = finish(case.loop(0, 1, 2))
    for number in (0, 2):
        loop = case.alone(case.trial(number))
        results = []
        while not loop.finished:
            results.append(loop.run_epoch())
        assert loop.best is not None
        for one, other in zip(together[number], results, strict=True):
            assert one.epoch == other.epoch
            assert one.steps == other.steps
            assert one.metrics.keys() == other.metrics.keys()
            for name, value in one.metrics.items():
                assert value == pytest.approx(other.metrics[name], rel=2e-3, abs=7e-3)
        assert_close(weights[number], loop.best_weights())


def test_a_fold_trains_on_its_own_rows_alone(case: Case) -> None:
    """Targets of the held-out rows change nothing but the measure of their fold."""
    target = case.train.target.copy()
    held = case.folds.held_out(1)
    target[held] = 1 - target[held]
    other = copy.copy(case)
    other.train = Examples(case.train.features, target)
    other.config = case.config = apply(case.config, {"train.epochs": 1})
    (one,), (two,) = (parted(finish(each.loop(0))[1][0])[1:2] for each in (case, other))
    assert all((one[name] == two[name]).all() for name in one)
    first = parted(finish(case.loop(0))[1][0])[0]
    assert any((first[name] != one[name]).any() for name in one)


def test_a_trial_has_the_mean_of_its_folds_and_one_best_epoch(case: Case) -> None:
    loop = case.loop(0, 1)
    result = loop.run_epoch()[1]
    assert isinstance(result, EpochResult)
    metric = case.task.metric
    values = fold_values(metric, result.metrics)
    assert len(values) == K
    assert result.metrics[metric] == pytest.approx(sum(values) / K)
    assert len(set(values)) > 1
    (lane,) = (each for each in loop.lanes if each.number == 1)
    assert lane.best is not None
    assert lane.best.value == result.metrics[metric]
    assert lane.epoch == 1
    assert loop.parameters == K * loop.stacked.parameters
    # The models begin from different weights.
    models = [each.model for each in (case.lane(0), *case.lane(0).others)]
    assert fold_seed(7, 0) == 7
    assert (next(models[0].parameters()) != next(models[1].parameters())).any()


def test_the_measure_of_a_fold_is_that_of_its_model_on_its_rows(case: Case) -> None:
    """With few rows at a time too, of which folds have different numbers."""
    case.config = {**case.config, "train": {**case.config["train"], "eval_batch_size": 64}}
    loop = case.loop(0)
    result = loop.run_epoch()[0]
    assert isinstance(result, EpochResult)
    for fold, weights in enumerate(parted(loop.best_weights(0))):
        model = build_model(case.config["model"], shape=case.shape, outputs=case.task.outputs)
        model.load_state_dict(weights)
        rows = ArrayBatches(case.train.rows(case.folds.held_out(fold)), 512)
        found = evaluate(model, case.task, rows)[case.task.metric]
        assert fold_values(case.task.metric, result.metrics)[fold] == pytest.approx(found, abs=1e-6)


def test_lanes_of_folds_go_on_from_a_checkpoint_with_the_same_bits(
    case: Case, tmp_path: Path
) -> None:
    whole, weights = finish(case.loop(0, 1))
    loop = case.loop(0, 1)
    loop.run_epoch()
    loop.run_epoch()
    loop.save(tmp_path)
    assert _saved_epochs(tmp_path, K) == {0: 2, 1: 2}
    again = case.loop(0, 1)
    again.restore(load_checkpoint(tmp_path))
    assert [lane.epoch for lane in again.lanes] == [2, 2]
    rest, same = finish(again)
    assert [each.metrics for each in rest[1]] == [each.metrics for each in whole[1][2:]]
    for number in (0, 1):
        assert all((each == same[number][name]).all() for name, each in weights[number].items())


def test_trials_join_and_go_without_changing_the_others(case: Case) -> None:
    _, weights = finish(case.loop(0))
    loop = case.loop(1, 0)
    loop.run_epoch()
    loop.drop([1])
    loop.add([case.lane(3)])
    assert [lane.number for lane in loop.lanes] == [0, 3]
    _, others = finish(loop)
    assert_close(others[0], weights[0])


def test_a_trial_goes_on_as_a_copy_of_another_one(case: Case) -> None:
    loop = case.loop(0, 2)
    loop.run_epoch()
    loop.copy(2, case.lane(0))
    rows = loop.stacked._stack.values
    assert (rows[:K] == rows[K:]).all()


def test_a_trial_diverges_with_one_of_its_folds(case: Case) -> None:
    loop = case.loop(0, 1)
    with torch.no_grad():
        loop.stacked._stack.values[1] = math.nan
    results = loop.run_epoch()
    assert isinstance(results[0], DivergedError)
    assert isinstance(results[1], EpochResult)


MODELS = {
    "module": {},
    "estimator": {"model": {"_target_": "tests.toy_estimators.Slopes"}},
}


@pytest.mark.parametrize("model", MODELS)
def test_folds_that_train_one_after_another_go_on_from_a_checkpoint(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr("rayml.train.loop.estimator_loop._SHARE", math.inf)  # save each time
    config = {**case.trial(0), **MODELS[model]}
    whole = case.alone(config)
    results = [whole.run_epoch() for _ in range(4)]
    loop = case.alone(config)
    loop.run_epoch()
    loop.save(tmp_path)
    loop.run_epoch()
    loop.save(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["2"]
    (tmp_path / "3").mkdir()  # a worker died while it was written
    again = case.alone(config)
    again.restore(tmp_path)
    assert again.best == loop.best
    rest = [again.run_epoch() for _ in range(2)]
    assert [each.metrics for each in rest] == [each.metrics for each in results[2:]]
    theirs = whole.best_weights()
    assert all((each == theirs[name]).all() for name, each in again.best_weights().items())
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        case.alone(config).restore(tmp_path / "3")


def test_patience_counts_epochs_without_a_better_mean(case: Case) -> None:
    config = apply(case.config, {"train.epochs": 30, "train.optimizer.lr": 0.3})
    config["train"]["patience"] = 2
    loop = case.alone(config)
    while not loop.finished:
        loop.run_epoch()
    assert loop.best is not None
    assert loop.epoch == loop.best.epoch + 2 < 30


@pytest.mark.parametrize("model", MODELS)
def test_seeds_have_the_models_of_all_folds(case: Case, model: str) -> None:
    config = {**case.config, **MODELS[model]}
    found = list(
        train_seeds(
            config,
            [3, 4],
            train=case.train,
            validation=case.train.rows(np.empty(0, np.int64)),
            shape=case.shape,
            target=case.target,
            folds=case.folds,
        )
    )
    assert [each.seed for each in found] == [3, 4]
    for each in found:
        assert isinstance(each, SeedResult)
        assert len(parted(each.weights)) == K
        assert len(fold_values(case.task.metric, each.best.metrics)) == K


def test_weights_of_folds_are_parted_as_they_were_joined() -> None:
    weights = [{"a.b": torch.tensor([float(fold)])} for fold in range(11)]
    assert parted(joined(weights)) == weights
    assert parted({"a": torch.ones(1)}) == [{"a": torch.ones(1)}]
