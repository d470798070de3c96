"""Shares in outputs become shares in scores that add up."""

from __future__ import annotations

import numpy as np
import pytest

from rayml.models.estimators.score_shares import score_shares
from rayml.testing.rows import task_of


def probabilities(outputs: np.ndarray) -> np.ndarray:
    raised = np.exp(outputs - outputs.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


@pytest.mark.parametrize("reach", [0.1, 3.0, 100.0])
def test_of_several_classes_they_add_up_to_the_difference(reach: float) -> None:
    draw = np.random.default_rng(0)
    moved = draw.normal(scale=reach, size=(40, 4, 6))
    start = draw.normal(size=(1, 4))
    end = start + moved.sum(2)
    codes = draw.integers(0, 4, 40)
    shares = score_shares(moved, start, end, codes, task_of("multiclass"))
    row = np.arange(40)
    wanted = probabilities(end)[row, codes] - probabilities(start)[0, codes]
    assert np.allclose(shares.sum(1), wanted, atol=1e-6)


def test_of_two_classes_all_are_scaled_alike() -> None:
    moved = np.array([[[1.0, 2.0, -0.5]]])
    start = np.array([[-1.0]])
    end = start + moved.sum(2)
    shares = score_shares(moved, start, end, np.array([1]), task_of("binary"))
    difference = 1 / (1 + np.exp(-end)) - 1 / (1 + np.exp(-start))
    assert np.allclose(shares, moved[0] * difference / 2.5)
    other = score_shares(moved, start, end, np.array([0]), task_of("binary"))
    assert np.allclose(other, -shares)


def test_shares_that_cancel_out_are_scaled_by_the_slope() -> None:
    moved = np.array([[[1.0, -1.0]]])
    start = np.zeros((1, 1))
    shares = score_shares(moved, start, start, np.array([1]), task_of("binary"))
    assert np.allclose(shares, [[0.25, -0.25]])


def test_values_are_in_units_of_the_target() -> None:
    task = task_of("regression")
    moved = np.array([[[0.5, 0.25]]])
    start = np.array([[0.1]])
    shares = score_shares(moved, start, start + 0.75, np.array([0]), task)
    assert np.allclose(shares, moved[0] * task.info.scale)


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    moved = draw.normal(size=(7, 3, 2))
    start = draw.normal(size=(1, 3))
    end, codes = start + moved.sum(2), draw.integers(0, 3, 7)
    whole = score_shares(moved, start, end, codes, task_of("multiclass"))
    monkeypatch.setattr("rayml.models.estimators.score_shares._CHUNK", 1)
    parts = score_shares(moved, start, end, codes, task_of("multiclass"))
    assert np.allclose(whole, parts, atol=1e-12)
