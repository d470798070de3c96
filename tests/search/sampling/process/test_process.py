"""A Gaussian process over a finite space says what its formulas say, and learns what matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.sampling.process.process import Process, _distances, _posterior, normal_scores


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of a choice of four, a number and a choice of five; only the first two count."""
    rng = np.random.default_rng(seed)
    points = np.stack(
        [rng.integers(4, size=count), rng.integers(6, size=count) / 5, rng.integers(5, size=count)],
        axis=1,
    ).astype(float)
    return points, np.array([0.0, 2.0, -1.0, 1.0])[points[:, 0].astype(int)] + points[:, 1]


def process(points: np.ndarray, scores: np.ndarray) -> Process:
    return Process.fitted([True, False, True], points, scores)


def test_what_is_expected_is_the_textbook_s() -> None:
    points, scores = drawn(12)
    rates, noise = np.array([0.7, 1.1, 0.3]), 0.2
    known = Process(np.array([True, False, True]), points, scores, rates, noise)
    wanted, _ = drawn(5, seed=1)

    def kernel(one: np.ndarray, other: np.ndarray) -> float:
        away = [one[0] != other[0], abs(one[1] - other[1]), one[2] != other[2]]
        return float(np.exp(-sum(rate * each for rate, each in zip(rates, away, strict=True))))

    own = np.array([[kernel(a, b) for b in points] for a in points]) + noise * np.eye(12)
    across = np.array([[kernel(a, b) for b in wanted] for a in points])
    inverse = np.linalg.inv(own)
    mean, deviation = known.expected(wanted)
    assert mean == pytest.approx(across.T @ inverse @ scores)
    variance = 1 - np.einsum("nm,nk,km->m", across, inverse, across)
    assert deviation**2 == pytest.approx(variance)
    # By chance, in place of the formula.
    draws = np.random.default_rng(0).normal(size=(200_000, 1)) * deviation + mean
    best = known.expected(points)[0].min()
    simulated = np.maximum(best - draws, 0).mean(axis=0)
    assert known.improvement(wanted) == pytest.approx(simulated, abs=0.01)


def test_the_gradient_is_that_of_the_posterior() -> None:
    points, scores = drawn(15)
    distances = _distances(np.array([True, False, True]), points, points)
    at, prior = np.array([-0.3, 0.4, -1.0, -2.0]), np.array([-0.7, -0.7, -0.7, -3.0])
    _, slope = _posterior(at, prior, distances, scores)
    for place in range(4):
        step = np.eye(4)[place] * 1e-5
        up, down = (_posterior(at + each, prior, distances, scores)[0] for each in (step, -step))
        assert slope[place] == pytest.approx((up - down) / 2e-5, rel=1e-4)


def test_an_axis_that_changes_nothing_has_a_low_rate() -> None:
    found = process(*drawn(60))
    assert found.rates[2] < 0.1 * found.rates[0]
    assert found.noise < 0.05


def test_it_predicts_points_that_no_trial_had() -> None:
    points, scores = drawn(40)
    wanted, truth = drawn(200, seed=2)
    mean, _ = process(points, scores).expected(wanted)
    assert np.corrcoef(mean, truth)[0, 1] > 0.98


def test_points_that_run_are_no_improvement_any_more() -> None:
    known = process(*drawn(20))
    points, _ = drawn(300, seed=3)
    best = points[[int(np.argmax(known.improvement(points)))]]
    before = known.improvement(best)[0]
    assert known.joined(best).improvement(best)[0] < 0.5 * before
    assert known.joined(np.empty((0, 3))) is known


@given(ranks=st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3)), min_size=1, max_size=40))
def test_scores_follow_the_ranks(ranks: list[tuple[int, int]]) -> None:
    scores = normal_scores(ranks)
    for one, first in zip(ranks, scores, strict=True):
        for other, second in zip(ranks, scores, strict=True):
            assert (one < other) == (first < second)
    assert len(set(ranks)) > 1 or scores == pytest.approx(0.0, abs=1e-9)
