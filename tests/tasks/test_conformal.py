"""Regions hold the truth as often as they promise, over many random splits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rayml.tasks.conformal import draws, highest_level, limit, rank, set_scores
from rayml.tasks.regions import Predicted
from rayml.tasks.table import build_task
from rayml.types import TargetInfo

SPLITS = 1000
ROWS, NEW = 99, 50


def within_binomial_error(hits: np.ndarray, level: float, rows: int = ROWS) -> None:
    """Each split's coverage has the mean k/(n+1), and its variance over splits is measured."""
    expected = rank(rows, level) / (rows + 1)
    each = hits.mean(axis=1)
    assert len(each) == SPLITS
    assert abs(each.mean() - expected) < 4 * each.std() / math.sqrt(SPLITS)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("scaled", [False, True])
def test_intervals_hold_the_truth_as_often_as_asked(level: float, scaled: bool) -> None:
    rng = np.random.default_rng(0)
    task = build_task(TargetInfo("y", "regression", mean=3.0, scale=2.0))
    shape = (SPLITS, ROWS + NEW)
    width = rng.uniform(0.2, 3, shape)  # errors differ from row to row
    predictions, truth = rng.normal(size=shape), np.empty(shape)
    truth[:] = predictions + width * rng.standard_t(3, shape)
    hits = np.empty((SPLITS, NEW), bool)
    for split in range(SPLITS):
        predicted = Predicted(
            torch.from_numpy(predictions[split]), width[split] if scaled else None, width[split]
        )
        scores = task.misfits(predicted, torch.from_numpy(truth[split]))
        most = limit(np.sort(scores[:ROWS]), level)
        regions = task.regions(predicted, np.full(ROWS + NEW, most))
        hits[split] = task.covers(regions, torch.from_numpy(truth[split]))[ROWS:]
    within_binomial_error(hits, level)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_asked(classes: int, level: float) -> None:
    rng = np.random.default_rng(1)
    shape = (SPLITS, ROWS + NEW)
    odds = rng.normal(scale=1.5, size=(*shape, classes))
    true = np.exp(odds) / np.exp(odds).sum(-1, keepdims=True)
    told = true**2 / (true**2).sum(-1, keepdims=True)  # an overconfident model
    labels = (true.cumsum(-1) < rng.uniform(size=(*shape, 1))).sum(-1).clip(max=classes - 1)
    flat = set_scores(told.reshape(-1, classes), rng.uniform(size=shape).ravel())
    scores = flat[np.arange(len(flat)), labels.ravel()].reshape(shape)
    most = np.sort(scores[:, :ROWS], axis=1)[:, rank(ROWS, level) - 1]
    within_binomial_error(scores[:, ROWS:] <= most[:, None], level)


def test_a_set_is_never_empty_and_grows_with_the_limit() -> None:
    task = build_task(TargetInfo("y", "multiclass", classes=("a", "b", "c")))
    predicted = Predicted(torch.tensor([[0.2, 0.7, 0.1]] * 4), None, np.full(4, 0.5))
    regions = task.regions(predicted, np.array([0.0, 0.4, 0.85, 1.0]))
    assert task.region_answers(regions) == [["b"], ["b"], ["a", "b"], ["a", "b", "c"]]
    assert task.region_sizes(regions).tolist() == [1, 1, 2, 3]
    assert task.covers(regions, torch.tensor([1, 0, 0, 2])).tolist() == [True, False, True, True]


def test_scores_of_a_set_by_hand() -> None:
    found = set_scores(np.array([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0]]), np.array([0.5, 0.0]))
    np.testing.assert_allclose(found, [[0.8, 0.35, 0.95], [0.0, 0.5, 1.0]])


def test_a_level_needs_enough_rows() -> None:
    assert [rank(9, level) for level in (0.9, 0.901, 0.1, 1e-9)] == [9, 10, 1, 1]
    assert rank(19, 0.95) == 19
    scores = np.arange(1.0, 10.0)
    assert limit(scores, 0.9) == 9
    assert limit(scores, 0.5) == 5
    assert limit(scores, 0.91) == math.inf
    for rows in (1, 9, 19, 999, 20_000):
        assert rank(rows, highest_level(rows)) == rows


def test_draws_depend_on_a_row_alone() -> None:
    rng = np.random.default_rng(4)
    numeric = rng.normal(size=(5000, 3)).astype(np.float32)
    codes = rng.integers(0, 4, (5000, 2))
    found = draws(numeric, codes)
    assert found.min() >= 0
    assert found.max() < 1
    counts, _ = np.histogram(found, 10, (0, 1))
    assert abs(counts - 500).max() < 5 * math.sqrt(500)
    order = rng.permutation(5000)
    np.testing.assert_array_equal(draws(numeric[order], codes[order]), found[order])
    np.testing.assert_array_equal(draws(numeric[7:8], codes[7:8]), found[7:8])
    # Two columns with exchanged values are another row, and -0 is 0.
    assert draws(numeric[:1, ::-1], codes[:1])[0] != found[0]
    zero = np.zeros((1, 3), np.float32)
    assert draws(zero, codes[:1])[0] == draws(-zero, codes[:1])[0]
    assert draws(np.zeros((2, 0), np.float32), np.zeros((2, 0), np.int64)).shape == (2,)
