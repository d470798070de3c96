"""XGBoost keeps the contract of estimators, and what is its own."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.models.trees.xgboost import FILE, XGBoost
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Observed
from rayml.testing.estimators import EstimatorTests
from rayml.testing.rows import learnable, task_of
from rayml.types import Examples, Features, FeatureShape
from tests.tasks.count_task import CountTask

SHAPE = FeatureShape(5, (3, 20), missing=(3, 4, 4, -1, -1))


class TestXGBoost(EstimatorTests):
    tolerance = 1e-5

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return XGBoost(shape, outputs, max_depth=4, subsample=0.8)


def rounds_of(estimator: XGBoost, task: str = "binary", **settings: Any) -> Any:
    rows = [learnable(task, SHAPE, 400, seed) for seed in (1, 2)]
    return estimator.fit(*rows, task=task_of(task), settings=TrainSettings(**settings))


@pytest.mark.parametrize(("rate", "trees"), [(0.1, 10), (0.02, 50), (1.0, 1)])
def test_a_round_moves_outputs_as_far_at_each_rate(rate: float, trees: int) -> None:
    assert next(rounds_of(XGBoost(SHAPE, 1, learning_rate=rate))).steps == trees


def test_training_ends_where_no_split_gains_anything() -> None:
    found = list(rounds_of(XGBoost(SHAPE, 1, min_child_weight=400)))
    assert [each.last for each in found] == [True]
    assert np.ptp(found[0].outputs) == 0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_loss_is_that_of_the_task(task: str) -> None:
    estimator = XGBoost(SHAPE, task_of(task).outputs, subsample=0.5)
    done = list(itertools.islice(rounds_of(estimator, task), 3))[-1]
    rows = learnable(task, SHAPE, 400, 1)
    outputs = torch.from_numpy(estimator.predict(rows.features))
    loss = float(task_of(task).loss(outputs, torch.from_numpy(rows.target)))
    assert done.loss == pytest.approx(loss, rel=1e-5)


def test_the_seed_draws_rows_and_columns_whoever_trains_between() -> None:
    """Folds take turns in one process, whose boosters share a generator."""

    def made(seed: int) -> tuple[XGBoost, Any]:
        estimator = XGBoost(SHAPE, 1, subsample=0.5, colsample_bynode=0.5)
        return estimator, rounds_of(estimator, seed=seed)

    (one, first), (other, second), (alone, third) = made(1), made(2), made(1)
    for _ in range(3):
        next(first)
        next(second)
    for _ in range(3):
        next(third)
    assert one.save() == alone.save()
    assert one.save() != other.save()


@pytest.mark.parametrize("threads", [1, 3])
def test_many_rows_have_the_bits_of_few(threads: int) -> None:
    estimator = XGBoost(SHAPE, 1)
    next(rounds_of(estimator))
    again = XGBoost(SHAPE, 1)
    again.load(estimator.save())
    rows = learnable("binary", SHAPE, 600, 3).features
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = again.predict(rows)
    finally:
        torch.set_num_threads(before)
    single = [again.predict(rows.rows(np.arange(i, i + 1))) for i in range(600)]
    assert np.array_equal(together, np.concatenate(single))
    assert np.array_equal(together, estimator.predict(rows))


def test_a_split_learns_the_side_of_missing_numbers() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=4000).astype(np.float32)
    gone = (x > 0) & (draw.random(4000) < 0.9)
    numeric = np.stack([np.where(gone, 0, x), gone], 1).astype(np.float32)
    rows = Examples(Features(numeric, np.zeros((4000, 0), np.int64)), (x > 0).astype(np.int64))
    estimator = XGBoost(FeatureShape(2, missing=(1, -1)), 1, max_depth=1, trees_per_round=1)
    next(estimator.fit(rows, rows, task=task_of("binary"), settings=TrainSettings()))
    outputs = estimator.predict(rows.features)[:, 0]
    # At the threshold's bin some rows are on the wrong side.
    assert np.mean((outputs > outputs.mean()) == (x > 0)) > 0.99


def test_a_column_is_missing_as_a_whole() -> None:
    """Where nothing but missing values parts the rows."""
    draw = np.random.default_rng(0)
    gone = draw.random(400) < 0.3
    numeric = np.stack([np.where(gone, 0, 1), gone], 1).astype(np.float32)
    examples = Examples(Features(numeric, np.zeros((400, 0), np.int64)), gone.astype(np.int64))
    estimator = XGBoost(FeatureShape(2, missing=(1, -1)), 1)
    next(estimator.fit(examples, examples, task=task_of("binary"), settings=TrainSettings()))
    again = XGBoost(FeatureShape(2, missing=(1, -1)), 1)
    again.load(estimator.save())
    assert np.array_equal(again.predict(examples.features)[:, 0] > 0, gone)


def test_a_users_task_is_learned_by_its_loss() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2000, 1)).astype(np.float32)
    counts = draw.poisson(np.exp(0.5 + x[:, 0])).astype(np.float64)
    observed = Observed((), counts.mean(), counts.std(), counts.min(), counts.max())
    info = CountTask.fit("y", observed, None)
    task = CountTask(info)
    target = ((counts - info.mean) / info.scale).astype(np.float32)
    rows = Features(x, np.zeros((2000, 0), np.int64))
    estimator = XGBoost(FeatureShape(1), 1, max_depth=3)
    examples = Examples(rows, target)
    fitted = estimator.fit(examples, examples, task=task, settings=TrainSettings())
    losses = [next(fitted).loss for _ in range(10)]
    assert losses[-1] < losses[0]
    found = task.predict(torch.from_numpy(estimator.predict(rows))).numpy()
    assert np.corrcoef(found, np.exp(0.5 + x[:, 0]))[0, 1] > 0.95
    again = XGBoost(FeatureShape(1), 1, max_depth=3)
    again.load(estimator.save())
    assert np.array_equal(again.predict(rows), estimator.predict(rows))


def test_xgboost_itself_reads_the_text(tmp_path: Path) -> None:
    import xgboost

    estimator = XGBoost(SHAPE, 3)
    next(rounds_of(estimator, "multiclass"))
    (tmp_path / FILE).write_bytes(estimator.save()[FILE])
    booster = xgboost.Booster(model_file=tmp_path / FILE)
    rows = learnable("multiclass", SHAPE, 50, 3).features
    matrix = np.concatenate([rows.numeric, rows.categorical], axis=1)
    for column, mark in ((0, 3), (1, 4), (2, 4)):
        matrix[rows.numeric[:, mark] == 1, column] = np.nan
    matrix[:, 3:5] = 0
    given = xgboost.DMatrix(matrix, feature_types=["q"] * 5 + ["c"] * 2, enable_categorical=True)
    assert np.array_equal(booster.predict(given, output_margin=True), estimator.predict(rows))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_depth": 21}, "model.max_depth is 21. Give a number in"),
        ({"subsample": 0}, "model.subsample is 0. Give a number in"),
        ({"grow_policy": "wide"}, "model.grow_policy .*depthwise, lossguide"),
        ({"missing": "zero"}, "model.missing .*native, filled"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        XGBoost(SHAPE, 1, **arguments)


@pytest.mark.parametrize("arguments", [{"max_leaves": 6, "grow_policy": "lossguide"}, {"gamma": 3}])
def test_what_it_writes_is_read(arguments: Any) -> None:
    estimator = XGBoost(SHAPE, 1, **arguments)
    next(rounds_of(estimator))
    again = XGBoost(SHAPE, 1, **arguments)
    again.load(estimator.save())
    trees = json.loads(estimator.save()[FILE])["learner"]["gradient_booster"]["model"]["trees"]
    assert again.parameters == sum(len(each["parents"]) for each in trees) == estimator.parameters


def test_files_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"XGBoost has trees\.json"):
        XGBoost(SHAPE, 1).load({"trees.txt": b""})


def test_without_xgboost_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'rayml\[xgboost\]'"):
        XGBoost(SHAPE, 1)
