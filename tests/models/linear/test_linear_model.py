"""Linear models keep the contract of estimators, and are those of scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.linear_model import LogisticRegression, Ridge

from rayml.errors import ConfigError, TrainError
from rayml.models.estimators.estimator import Estimator
from rayml.models.linear.linear_model import FILE, LinearModel
from rayml.settings.train import TrainSettings
from rayml.testing.estimators import EstimatorTests
from rayml.testing.rows import learnable, task_of
from rayml.types import Examples, Features, FeatureShape
from tests.toy_estimators import matrix

SHAPE = FeatureShape(4, (3, 5))


class TestLinearModel(EstimatorTests):
    tolerance = 1e-6

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return LinearModel(shape, outputs)


def fitted(name: str, shape: FeatureShape = SHAPE, **arguments: float) -> LinearModel:
    task = task_of(name)
    model = LinearModel(shape, task.outputs, **arguments)
    rows = learnable(name, shape, 300, 1)
    (done,) = model.fit(rows, rows, task=task, settings=TrainSettings())
    assert done.last
    return model


@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_outputs_of_classes_are_those_of_scikit_learn(name: str) -> None:
    rows = learnable(name, SHAPE, 300, 1)
    x = matrix(SHAPE, rows.features)
    theirs = LogisticRegression(C=1 / 3.0, max_iter=1000, tol=1e-6).fit(x, rows.target)
    wanted = theirs.decision_function(x).reshape(len(x), -1)
    assert np.allclose(fitted(name, penalty=3.0).predict(rows.features), wanted, atol=1e-3)


@pytest.mark.parametrize("shape", [SHAPE, FeatureShape(4)])
def test_values_are_those_of_scikit_learn(shape: FeatureShape) -> None:
    rows = learnable("regression", shape, 300, 1)
    x = matrix(shape, rows.features)
    wanted = Ridge(alpha=3.0).fit(x, rows.target.astype(np.float64)).predict(x)
    found = fitted("regression", shape, penalty=3.0).predict(rows.features)
    assert np.allclose(found[:, 0], wanted, atol=1e-5)


def test_a_code_without_training_rows_weighs_nothing() -> None:
    task = task_of("binary")
    rows = learnable("binary", SHAPE, 300, 1)
    codes = rows.features.categorical.copy()
    codes[codes[:, 0] == 0, 0] = 1
    seen = Examples(Features(rows.features.numeric, codes), rows.target)
    model = LinearModel(SHAPE, 1)
    list(model.fit(seen, seen, task=task, settings=TrainSettings()))
    assert load(model.save()[FILE])["weights"][4] == pytest.approx(0, abs=1e-9)


def test_shares_of_a_value_are_weights_times_differences() -> None:
    task = task_of("regression")
    model = fitted("regression")
    rows = learnable("regression", SHAPE, 6, 2).features
    start = Features(rows.numeric[:1], rows.categorical[:1])
    shares = model.explain(rows, start, np.zeros(6, np.int64), task)
    weights = load(model.save()[FILE])["weights"][:4, 0]
    wanted = (rows.numeric - start.numeric) * weights * task.info.scale
    assert np.allclose(shares[:, :4], wanted, atol=1e-6)
    assert shares.shape == (6, 6)


def test_a_users_task_is_refused() -> None:
    rows = learnable("regression", SHAPE, 30, 1)
    task = SimpleNamespace(name="count", likelihood=None)
    with pytest.raises(ConfigError, match="cannot learn the task 'count'"):
        next(LinearModel(SHAPE, 1).fit(rows, rows, task=task, settings=TrainSettings()))


def test_a_class_without_rows_is_refused() -> None:
    rows = learnable("multiclass", SHAPE, 30, 1)
    few = Examples(rows.features, np.minimum(rows.target, 1))
    model = LinearModel(SHAPE, 3)
    with pytest.raises(TrainError, match="1 of the classes have no training row"):
        next(model.fit(few, few, task=task_of("multiclass"), settings=TrainSettings()))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.penalty is 0\. Give a number above 0"):
        LinearModel(SHAPE, 1, penalty=0)


def test_torn_and_foreign_weights_are_refused() -> None:
    content = fitted("binary").save()[FILE]
    weights = load(content)
    wrong = {
        "torn": content[:-3],
        "shapes": save({**weights, "bias": np.zeros(2)}),
        "not of this": save({**weights, "bias": np.zeros(1, np.float32)}),
        "this model": save({"weights": weights["weights"]}),
        "not finite": save({**weights, "bias": np.array([np.nan])}),
    }
    for words, each in wrong.items():
        with pytest.raises(ValueError, match=words):
            LinearModel(SHAPE, 1).load({FILE: each})
    with pytest.raises(ValueError, match="a linear model has"):
        LinearModel(SHAPE, 1).load({"weights.bin": content})
