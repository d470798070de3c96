"""Densities integrate to one, and are high where points are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rayml.search.sampling.axis import Axis
from rayml.search.sampling.parzen import Mixture, _normal_cdf

LINE = Axis(FloatDistribution(0, 1))
CELLS = Axis(IntDistribution(1, 100, log=True))
CHOICES = Axis(CategoricalDistribution("abc"))


def mixture(axes: list[Axis], points: list[list[float]]) -> Mixture:
    return Mixture.around(axes, np.array(points, dtype=float).reshape(-1, len(axes)))


@pytest.mark.parametrize("points", [[], [0.0], [0.2, 0.9], [0.5] * 5, [math.nan, 0.3]])
def test_a_density_integrates_to_one(points: list[float]) -> None:
    line = mixture([LINE], [[each] for each in points])
    grid = (np.arange(20_000) + 0.5) / 20_000
    assert np.exp(line.log_density(grid[:, None], [0])).mean() == pytest.approx(1, abs=1e-4)
    cells = mixture([CELLS], [[CELLS.snap(np.array(each))] for each in points])
    units = np.array([CELLS.encode(value) for value in range(1, 101)])
    assert np.exp(cells.log_density(units[:, None], [0])).sum() == pytest.approx(1, abs=1e-4)
    choices = mixture([CHOICES], [[min(each * 3, 2) // 1] for each in points])
    every = np.array([[0.0], [1.0], [2.0]])
    assert np.exp(choices.log_density(every, [0])).sum() == pytest.approx(1)


def test_a_density_is_high_where_points_are() -> None:
    joint = mixture([LINE, CHOICES], [[0.2, 0], [0.25, 0], [0.75, 2], [0.8, 2]] * 5)
    points = np.array([[0.22, 0], [0.78, 2], [0.22, 2], [0.5, 1]])
    density = joint.log_density(points, [0, 1])
    assert min(density[:2]) > density[2] > density[3]


@pytest.mark.parametrize("distribution", [
    FloatDistribution(0, 1), IntDistribution(1, 5), IntDistribution(1, 5000, log=True),
    CategoricalDistribution("abcd"),
], ids=str)  # fmt: skip
def test_samples_follow_the_density(distribution: BaseDistribution) -> None:
    axis = Axis(distribution)
    points = [[axis.encode(axis.spread(share))] for share in (0.1, 0.12, 0.95)]
    made = mixture([axis], [*points, [math.nan]])
    drawn = made.sample(np.random.default_rng(0), 20_000, [0])
    at, counts = np.unique(drawn[:, 0], return_counts=True)
    if axis.choices or axis.cells:
        share = np.exp(made.log_density(at[:, None], [0]))
        assert counts / 20_000 == pytest.approx(share, abs=0.015)
    else:
        edges = np.linspace(0, 1, 11)
        found = np.histogram(drawn[:, 0], edges)[0] / 20_000
        grid = (np.arange(10_000) + 0.5) / 10_000
        density = np.exp(made.log_density(grid[:, None], [0])).reshape(10, -1).mean(1) / 10
        assert found == pytest.approx(density, abs=0.015)


def test_given_values_weigh_the_points() -> None:
    shares = []
    for trust in (0.0, 0.5, 1.0):
        made = mixture([LINE, CHOICES], [[0.1, 0], [0.9, 2]] * 10).given({1: 0.0}, trust)
        drawn = made.sample(np.random.default_rng(0), 4000, [0])
        assert np.isnan(drawn[:, 1]).all()
        shares.append((drawn[:, 0] < 0.5).mean())
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] > 0.7
    assert shares[2] > 0.85


def test_further_points_join() -> None:
    few = mixture([LINE, CHOICES], [[0.2, 0], [0.3, 0], [0.4, 1]])
    more = few.joined(np.array([[0.9, 2.0], [math.nan, 2.0]]))
    assert (few.size, more.size) == (3, 5)
    at = np.array([[0.9, 2.0], [0.3, 0.0]])
    before, after = few.log_density(at, [0, 1]), more.log_density(at, [0, 1])
    assert after[0] > before[0]
    assert after[1] < before[1]
    grid = np.array([[(i + 0.5) / 1000, c] for i in range(1000) for c in range(3)])
    assert np.exp(more.log_density(grid, [0, 1])).sum() / 1000 == pytest.approx(1, abs=1e-4)


def test_the_normal_distribution_function() -> None:
    x = np.linspace(-9, 9, 1001)
    exact = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in x])
    assert np.abs(_normal_cdf(x) - exact).max() < 1e-7
