"""The front is what its definition says, whatever the points."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.search.problem.pareto import dominates, pareto_front
from rayml.types import Direction

# Few values, so that ties and equal points are common.
VALUES = st.integers(-3, 3).map(float) | st.floats(allow_nan=False)


@st.composite
def problems(draw: Any) -> tuple[list[tuple[float, ...]], list[Direction]]:
    size = draw(st.integers(1, 4))
    directions = draw(
        st.lists(st.sampled_from(["minimize", "maximize"]), min_size=size, max_size=size)
    )
    points = draw(st.lists(st.tuples(*[VALUES] * size), max_size=12))
    return points, directions


def by_definition(points: list[tuple[float, ...]], directions: list[Direction]) -> list[int]:
    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        better = [
            (a < b) if d == "minimize" else (a > b)
            for a, b, d in zip(one, other, directions, strict=True)
        ]
        worse = [
            (a > b) if d == "minimize" else (a < b)
            for a, b, d in zip(one, other, directions, strict=True)
        ]
        return any(better) and not any(worse)

    return [i for i, point in enumerate(points) if not any(beats(other, point) for other in points)]


@given(problems())
def test_the_front_is_that_of_the_definition(
    problem: tuple[list[tuple[float, ...]], list[Direction]],
) -> None:
    points, directions = problem
    assert pareto_front(points, directions) == by_definition(points, directions)


@given(problems())
def test_every_other_point_is_dominated_by_one_of_the_front(
    problem: tuple[list[tuple[float, ...]], list[Direction]],
) -> None:
    points, directions = problem
    front = pareto_front(points, directions)
    for index, point in enumerate(points):
        beaten = any(dominates(points[other], point, directions) for other in front)
        assert beaten == (index not in front)


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(
    problem: tuple[list[tuple[float, ...]], list[Direction]], shuffler: random.Random
) -> None:
    points, directions = problem
    order = list(range(len(points)))
    shuffler.shuffle(order)
    shuffled = pareto_front([points[i] for i in order], directions)
    assert sorted(order[i] for i in shuffled) == pareto_front(points, directions)


def test_it_is_the_front_that_optuna_finds() -> None:
    draw = random.Random(0)
    points = [(draw.random(), draw.random(), draw.random()) for _ in range(200)]
    study = optuna.create_study(directions=["minimize", "maximize", "minimize"])
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=point))
    expected = sorted(trial.number for trial in study.best_trials)
    assert pareto_front(points, ["minimize", "maximize", "minimize"]) == expected


def test_points_have_a_value_an_objective() -> None:
    with pytest.raises(ValueError, match="zip"):
        pareto_front([(1.0,)], ["minimize", "minimize"])
