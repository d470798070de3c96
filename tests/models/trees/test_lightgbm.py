"""LightGBM keeps the contract of estimators, and what is its own."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.models.trees.lightgbm import FILE, LightGBM
from rayml.settings.train import TrainSettings
from rayml.tasks.task import Observed
from rayml.testing.estimators import EstimatorTests
from rayml.testing.rows import learnable, task_of
from rayml.types import Examples, Features, FeatureShape
from tests.tasks.count_task import CountTask

SHAPE = FeatureShape(4, (3, 5))
MISSING = FeatureShape(4, (3,), missing=(3, -1, 3, -1))


class TestLightGBM(EstimatorTests):
    tolerance = 1e-5

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return LightGBM(shape, outputs, min_data_in_leaf=5, min_data_per_group=5, missing="native")


def rounds_of(estimator: LightGBM, task: Any = None, **settings: Any) -> Any:
    task = task or task_of("binary")
    rows = [learnable("binary", SHAPE, 400, seed) for seed in (1, 2)]
    return estimator.fit(*rows, task=task, settings=TrainSettings(**settings))


@pytest.mark.parametrize(("rate", "trees"), [(0.1, 10), (0.02, 50), (1.0, 1)])
def test_a_round_moves_outputs_as_far_at_each_rate(rate: float, trees: int) -> None:
    assert next(rounds_of(LightGBM(SHAPE, 1, learning_rate=rate))).steps == trees


def test_trees_of_a_round_can_be_given() -> None:
    assert next(rounds_of(LightGBM(SHAPE, 1, trees_per_round=7))).steps == 7


def test_training_ends_where_no_split_gains_anything() -> None:
    found = list(rounds_of(LightGBM(SHAPE, 1, min_data_in_leaf=400)))
    assert [each.last for each in found] == [True]
    assert np.ptp(found[0].outputs) == 0


def test_the_loss_is_that_of_the_task() -> None:
    estimator = LightGBM(SHAPE, 1)
    done = next(rounds_of(estimator))
    rows = learnable("binary", SHAPE, 400, 1)
    outputs = torch.from_numpy(estimator.predict(rows.features))
    assert done.loss == pytest.approx(
        float(task_of("binary").loss(outputs, torch.from_numpy(rows.target))), rel=1e-6
    )


def test_the_seed_draws_rows_and_columns() -> None:
    def text(seed: int) -> bytes:
        estimator = LightGBM(SHAPE, 1, bagging_fraction=0.5, feature_fraction=0.5)
        next(rounds_of(estimator, seed=seed))
        return estimator.save()[FILE]

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_a_users_task_is_learned_by_its_loss() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2000, 1)).astype(np.float32)
    counts = draw.poisson(np.exp(0.5 + x[:, 0])).astype(np.float64)
    info = CountTask.fit("y", _observed(counts), None)
    task = CountTask(info)
    target = ((counts - info.mean) / info.scale).astype(np.float32)
    rows = Features(x, np.zeros((2000, 0), np.int64))
    estimator = LightGBM(FeatureShape(1), 1)
    examples = Examples(rows, target)
    fitted = estimator.fit(examples, examples, task=task, settings=TrainSettings())
    losses = [next(fitted).loss for _ in range(10)]
    assert losses[-1] < losses[0]
    found = task.predict(torch.from_numpy(estimator.predict(rows))).numpy()
    assert np.corrcoef(found, np.exp(0.5 + x[:, 0]))[0, 1] > 0.95
    again = LightGBM(FeatureShape(1), 1)
    again.load(estimator.save())
    assert np.array_equal(again.predict(rows), estimator.predict(rows))


def _observed(values: np.ndarray) -> Any:
    return Observed((), values.mean(), values.std(), values.min(), values.max())


def test_shares_of_columns_that_nothing_depends_on_are_zero() -> None:
    estimator = LightGBM(SHAPE, 1, min_data_per_group=5)
    fitted = rounds_of(estimator)
    for _ in range(3):
        next(fitted)
    rows = learnable("binary", SHAPE, 20, 3).features
    start = Features(rows.numeric[:1], rows.categorical[:1])
    shares = np.abs(estimator.explain(rows, start, np.ones(20, np.int64), task_of("binary"))).sum(0)
    # Only the first number and the first code matter, see `learnable`.
    assert shares[[0, 4]].sum() > 5 * shares[[1, 2, 3, 5]].sum()


@pytest.mark.parametrize("name", ["num_leaves", "learning_rate", "feature_fraction"])
def test_arguments_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"model.{name} is 10000. Give a number in"):
        LightGBM(SHAPE, 1, **{name: 10_000})


def test_a_split_learns_the_side_of_missing_numbers() -> None:
    """Where half are missing, and these are the large ones, no number in their place says so."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=4000).astype(np.float32)
    gone = (x > 0) & (draw.random(4000) < 0.9)
    numeric = np.stack([np.where(gone, 0, x), gone], 1).astype(np.float32)
    rows = Examples(Features(numeric, np.zeros((4000, 0), np.int64)), (x > 0).astype(np.int64))
    shape = FeatureShape(2, missing=(1, -1))
    # Of one split a tree, so that no second one mends the first.
    estimator = LightGBM(shape, 1, num_leaves=2, trees_per_round=1, missing="native")
    next(estimator.fit(rows, rows, task=task_of("binary"), settings=TrainSettings()))
    outputs = estimator.predict(rows.features)[:, 0]
    assert np.array_equal(outputs > outputs.mean(), x > 0)
    moved = estimator.explain(
        rows.features.rows(np.arange(9)),
        rows.features.rows(np.arange(1)),
        np.ones(9, np.int64),
        task_of("binary"),
    )
    assert not moved[:, 1].any(), "the column that says so is nothing to native trees"


def test_an_argument_that_older_bundles_lack_means_what_they_do() -> None:
    rows = learnable("binary", MISSING, 50, 3).features
    of_old = LightGBM(MISSING, 1)._columns.matrix(rows)
    assert np.array_equal(of_old, np.concatenate([rows.numeric, rows.categorical], 1))


def test_a_way_with_missing_numbers_that_is_unknown_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.missing .*native, filled"):
        LightGBM(SHAPE, 1, missing="zero")  # type: ignore[arg-type]


def test_files_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"LightGBM has trees\.txt"):
        LightGBM(SHAPE, 1).load({"other.txt": b""})


def test_without_lightgbm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'rayml\[trees\]'"):
        LightGBM(SHAPE, 1)
