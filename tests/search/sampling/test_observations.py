"""Tables of finished trials stay in order and small."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution

from rayml.search.sampling.observations import Observations, Ranking

UNIT: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0, 1),
    "y": FloatDistribution(0, 1),
}


@given(values=st.lists(st.floats(-9, 9), max_size=200), good=st.integers(0, 12))
def test_the_best_are_the_best_and_nothing_is_in_both(values: list[float], good: int) -> None:
    ranking = Ranking(best=10, sample=30)
    for row, value in enumerate(values):
        ranking.add((value,), row)
    best, others = ranking.split(good)
    order = sorted(range(len(values)), key=lambda row: (values[row], row))
    assert best == order[: min(good, 10)]
    assert len(others) <= 30
    assert not set(best) & set(others)
    assert others == sorted(set(others))
    assert ranking.count == len(values)


def test_the_latest_and_an_even_sample_of_the_others_are_kept() -> None:
    ranking = Ranking(best=1, sample=40)
    for row in range(1000):
        ranking.add((float(row),), row)
    _, others = ranking.split(1)
    assert others[-20:] == list(range(980, 1000))
    early = others[:-20]
    assert len(early) >= 9
    assert len(set(np.diff(early))) == 1
    assert early[0] <= 128
    assert early[-1] >= 800


@pytest.mark.parametrize("count", [0, 1, 20, 39, 40])
def test_all_are_there_while_they_are_few(count: int) -> None:
    ranking = Ranking(best=5, sample=40)
    for row in range(count):
        ranking.add((float(-row),), row)
    best, others = ranking.split(3)
    assert sorted(best + others) == list(range(count))


def test_parameters_that_every_trial_had() -> None:
    seen = Observations(best=5, sample=10)
    seen.add((0.0,), {"x": 0.5}, UNIT)
    seen.add((1.0,), {"x": 0.5, "y": 0.25}, UNIT)
    assert set(seen.everywhere()) == {"x", "y"}
    seen.add((2.0,), {"x": 0.75}, UNIT)
    assert set(seen.everywhere()) == {"x"}
    assert seen.ranking("y").count == 1
    assert seen.ranking().count == 3


def test_points_of_parameters_that_a_trial_lacked_are_missing() -> None:
    seen = Observations(best=5, sample=10)
    seen.add((0.0,), {"x": 0.5, "y": 0.25}, UNIT)
    for _ in range(200):
        seen.add((1.0,), {"x": 0.75}, UNIT)
    points = seen.points(["x", "y"], [0, 200])
    assert points[0].tolist() == [0.5, 0.25]
    assert points[1, 0] == 0.75
    assert math.isnan(points[1, 1])


def test_a_range_that_changes_moves_the_coordinates() -> None:
    seen = Observations(best=5, sample=10)
    seen.add((0.0,), {"x": 0.5}, UNIT)
    seen.add((0.0,), {"x": 0.9}, UNIT)
    seen.add((1.0,), {"x": 0.2}, {"x": FloatDistribution(0.0, 0.8)})
    points = seen.points(["x"], [0, 1, 2])[:, 0]
    assert np.allclose(points, [0.625, np.nan, 0.25], equal_nan=True)
