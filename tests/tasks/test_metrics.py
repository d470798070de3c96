import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from rayml.tasks.table import task_type

FEW = st.integers(0, 20).map(lambda x: x / 20)  # a coarse grid, so that ties are common


@st.composite
def binary(draw):
    rows = draw(st.integers(2, 40))
    target = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)))
    prediction = draw(hnp.arrays(np.float32, rows, elements=FEW))
    return prediction, target


@st.composite
def multiclass(draw):
    rows, classes = draw(st.integers(2, 40)), draw(st.integers(3, 5))
    target = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, classes - 1)))
    weights = draw(hnp.arrays(np.float64, (rows, classes), elements=st.integers(1, 9)))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32), target


@st.composite
def regression(draw):
    rows = draw(st.integers(2, 40))
    values = st.integers(-1000, 1000).map(float)
    return (
        draw(hnp.arrays(np.float64, rows, elements=values)),
        draw(hnp.arrays(np.float64, rows, elements=values)),
    )


def measure(task, name, prediction, target) -> float:
    return float(
        task_type(task).own_metrics()[name](torch.from_numpy(prediction), torch.from_numpy(target))
    )


@given(binary())
def test_binary_metrics_agree_with_scikit_learn(example):
    prediction, target = example
    label = (prediction > 0.5).astype(np.int64)
    expected = {
        "accuracy": reference.accuracy_score(target, label),
        "log_loss": reference.log_loss(target, prediction, labels=[0, 1]),
        "f1": reference.f1_score(target, label, zero_division=0),
    }
    for name, value in expected.items():
        assert measure("binary", name, prediction, target) == pytest.approx(value, abs=1e-5)
    auroc = measure("binary", "auroc", prediction, target)
    if len(set(target)) == 1:
        assert math.isnan(auroc)
    else:
        assert auroc == pytest.approx(reference.roc_auc_score(target, prediction), abs=1e-12)


@given(binary())
def test_average_precision_agrees_with_scikit_learn(example):
    prediction, target = example
    found = measure("binary", "average_precision", prediction, target)
    if target.any():
        expected = reference.average_precision_score(target, prediction)
        assert found == pytest.approx(expected, abs=1e-9)
    else:
        assert math.isnan(found)


@given(multiclass())
def test_average_precision_of_classes_is_the_mean_over_those_that_occur(example):
    prediction, target = example
    each = [
        reference.average_precision_score(target == label, prediction[:, label])
        for label in np.unique(target)
    ]
    found = measure("multiclass", "average_precision", prediction, target)
    assert found == pytest.approx(np.mean(each), abs=1e-9)


@given(binary(), multiclass())
def test_balanced_accuracy_agrees_with_scikit_learn(two, several):
    for task, (prediction, target) in (("binary", two), ("multiclass", several)):
        label = prediction.argmax(1) if task == "multiclass" else prediction > 0.5
        recalls = [(label[target == each] == each).mean() for each in np.unique(target)]
        found = measure(task, "balanced_accuracy", prediction, target)
        assert found == pytest.approx(np.mean(recalls), abs=1e-9)


@given(binary())
def test_binary_calibration_error_agrees_with_the_calibration_curve(example):
    prediction, target = example
    hit, confidence = calibration_curve(target, prediction, n_bins=15)
    bins = np.searchsorted(np.linspace(0, 1, 16)[1:-1], prediction.astype(np.float64))
    weights = np.unique(bins, return_counts=True)[1] / len(target)
    expected = float((weights * np.abs(hit - confidence)).sum())
    result = measure("binary", "calibration_error", prediction, target)
    assert result == pytest.approx(expected, abs=1e-6)


@given(multiclass())
def test_multiclass_metrics_agree_with_scikit_learn(example):
    prediction, target = example
    exact = prediction.astype(np.float64)
    label, classes = prediction.argmax(1), np.arange(prediction.shape[1])
    present = [c for c in classes if 0 < (target == c).sum() < len(target)]
    expected = {
        "accuracy": reference.accuracy_score(target, label),
        "log_loss": reference.log_loss(target, exact / exact.sum(1, keepdims=True), labels=classes),
        "f1": reference.f1_score(target, label, average="macro", zero_division=0),
        "calibration_error": top_label_error(prediction.max(1), label == target),
    }
    for name, value in expected.items():
        assert measure("multiclass", name, prediction, target) == pytest.approx(value, abs=1e-5)
    auroc = measure("multiclass", "auroc", prediction, target)
    if present:
        each = [reference.roc_auc_score(target == c, prediction[:, c]) for c in present]
        assert auroc == pytest.approx(np.mean(each), abs=1e-12)
    else:
        assert math.isnan(auroc)


def top_label_error(confidence, hit) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence = confidence.astype(np.float64)
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return total


@given(regression())
def test_regression_metrics_agree_with_scikit_learn(example):
    prediction, target = example
    expected = {
        "rmse": reference.root_mean_squared_error(target, prediction),
        "mae": reference.mean_absolute_error(target, prediction),
        "r2": reference.r2_score(target, prediction),
    }
    for name, value in expected.items():
        result = measure("regression", name, prediction, target)
        assert result == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_confident_mistakes_have_a_finite_log_loss():
    prediction = np.array([0.0, 1.0], dtype=np.float32)
    assert 10 < measure("binary", "log_loss", prediction, np.array([1, 0])) < 20


@pytest.mark.parametrize(("task", "examples"), [("binary", binary), ("multiclass", multiclass)])
def test_lanes_are_measured_at_once_as_alone(task, examples):
    @given(examples(), st.randoms(use_true_random=False))
    def check(example, random):
        prediction, target = map(torch.from_numpy, example)
        orders = [random.sample(range(len(target)), len(target)) for _ in range(3)]
        lanes = torch.stack([prediction[order] for order in orders])
        for function in task_type(task).own_metrics().values():
            each = torch.stack([function(lane, target) for lane in lanes])
            torch.testing.assert_close(function(lanes, target), each, equal_nan=True)

    check()
