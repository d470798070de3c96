import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from rayml.tasks.table import build_task, outputs_of
from rayml.types import TargetInfo

BINARY = TargetInfo("y", "binary", ("no", "yes"))
MULTICLASS = TargetInfo("y", "multiclass", ("a", "b", "c"))
REGRESSION = TargetInfo("y", "regression", mean=100.0, scale=5.0)


@given(st.floats(0, 0.9))
def test_multiclass_loss_is_the_smoothed_cross_entropy(smoothing):
    outputs, target = torch.randn(8, 3), torch.randint(0, 3, (8,))
    expected = cross_entropy(outputs, target, label_smoothing=smoothing)
    torch.testing.assert_close(build_task(MULTICLASS).loss(outputs, target, smoothing), expected)


@given(st.floats(0, 0.9))
def test_binary_loss_is_that_of_two_classes(smoothing):
    logit, target = torch.randn(8, 1), torch.randint(0, 2, (8,))
    both = torch.cat([torch.zeros_like(logit), logit], dim=1)
    expected = cross_entropy(both, target, label_smoothing=smoothing)
    torch.testing.assert_close(build_task(BINARY).loss(logit, target, smoothing), expected)


@pytest.mark.parametrize("info", [BINARY, MULTICLASS])
def test_extreme_logits_have_a_finite_loss(info):
    outputs = torch.full((4, outputs_of(info)), -1e4)
    outputs[:, -1] = 1e4
    loss = build_task(info).loss(outputs, torch.tensor([0, 0, 1, 1]))
    assert math.isfinite(float(loss))


def test_predictions_are_probabilities_or_own_units():
    outputs = torch.randn(5, 3)
    assert build_task(BINARY).predict(outputs[:, :1]).shape == (5,)
    torch.testing.assert_close(build_task(MULTICLASS).predict(outputs).sum(1), torch.ones(5))
    values = build_task(REGRESSION).predict(torch.tensor([[0.0], [-2.0]]))
    assert values.tolist() == [100.0, 90.0]


def test_regression_is_measured_in_own_units():
    values = build_task(REGRESSION).evaluate(torch.tensor([[1.0], [1.0]]), torch.zeros(2))
    assert values["rmse"] == values["mae"] == pytest.approx(5.0)
    assert values["loss"] == pytest.approx(1.0)


def test_a_large_mean_does_not_swallow_the_prediction():
    info = TargetInfo("time", "regression", mean=1.7e9, scale=10.0)
    values = build_task(info).evaluate(torch.tensor([[0.1], [0.2]]), torch.tensor([0.0, 0.1]))
    assert values["mae"] == pytest.approx(1.0, rel=1e-5)


class Profit:
    direction = "maximize"

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> float:
        return float((prediction > 0.5).float() @ (2.0 * target - 1.0))


def test_a_users_metric_is_evaluated_and_optimised():
    task = build_task(BINARY, metric="profit", metrics={"profit": Profit()})
    assert (task.metric, task.direction) == ("profit", "maximize")
    outputs, target = torch.tensor([[3.0], [2.0], [1.0], [-1.0]]), torch.tensor([1, 1, 0, 1])
    values = task.evaluate(outputs, target)
    assert values["profit"] == 1.0
    assert set(values) == {
        "loss", "accuracy", "auroc", "log_loss", "f1", "calibration_error",
        "average_precision", "balanced_accuracy", "profit",
    }  # fmt: skip


def test_one_class_alone_leaves_rankings_undefined():
    values = build_task(BINARY).evaluate(torch.randn(4, 1), torch.zeros(4, dtype=torch.int64))
    undefined = {name for name, value in values.items() if math.isnan(value)}
    assert undefined == {"auroc", "average_precision"}


@pytest.mark.parametrize("info", [BINARY, MULTICLASS, REGRESSION])
@given(st.integers(1, 5), st.floats(0.1, 30.0))
def test_pooled_outputs_predict_the_mean_of_the_predictions(info, members, scale):
    task = build_task(info)
    outputs = scale * torch.randn(members, 16, outputs_of(info))
    mean = task.predict(outputs).double().mean(0)
    # What float32 leaves of a mean near zero goes with the size of the outputs.
    torch.testing.assert_close(
        task.predict(task.pool(outputs)).double(), mean, rtol=1e-4, atol=1e-6 * (1 + scale)
    )


@pytest.mark.parametrize("info", [BINARY, MULTICLASS])
def test_pooled_extreme_logits_stay_finite(info):
    outputs = torch.full((3, 4, outputs_of(info)), -1e4)
    outputs[..., -1] = 1e4
    assert build_task(info).pool(outputs).isfinite().all()
