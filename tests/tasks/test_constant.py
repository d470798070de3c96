from __future__ import annotations

import pytest
import torch

from rayml.tasks.table import build_task
from rayml.types import TargetInfo

BINARY = TargetInfo("y", "binary", classes=("no", "yes"))
THREE = TargetInfo("y", "multiclass", classes=(1, 2, 3))


def test_the_best_constant_by_each_metric_is_among_them() -> None:
    truth = torch.tensor([0] * 30 + [1] * 10)
    found = build_task(BINARY).constants((0.75, 0.25), {}, 40)
    metrics = build_task(BINARY).metrics
    assert max(float(metrics["accuracy"](each, truth)) for each in found) == 0.75
    assert max(float(metrics["f1"](each, truth)) for each in found) == pytest.approx(0.4)
    assert {float(metrics["auroc"](each, truth)) for each in found} == {0.5}


def test_a_number_is_answered_by_mean_and_median() -> None:
    target = TargetInfo("y", "regression", mean=5.0, scale=2.0)
    mean, median = build_task(target).constants((), {"quantiles": [0.0, 3.0, 30.0]}, 2)
    assert mean.tolist() == [5.0, 5.0]
    assert median.tolist() == [3.0, 3.0]
    hidden = build_task(target).constants((), {"count": 9}, 1)
    assert [each.tolist() for each in hidden] == [[5.0], [5.0]]


def test_classes_are_answered_by_their_shares_or_the_most_frequent() -> None:
    shares, first = build_task(THREE).constants((0.25, 0.5, 0.25), {}, 2)
    assert shares.tolist() == [[0.25, 0.5, 0.25]] * 2
    assert first.tolist() == [[0, 1, 0]] * 2
