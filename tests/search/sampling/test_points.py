"""The points of a space that were not tried."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rayml.search.sampling.points import Points, count_points
from rayml.search.space.space import Space

TREE: dict[str, Any] = {
    "kind": {"type": "categorical", "choices": ["adam", "sgd", None]},
    "depth": {"type": "int", "low": 1, "high": 3},
    "drop": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
}
MOMENTUM = {"type": "categorical", "choices": [0.9, 0.99], "when": {"kind": "sgd"}}
RATE = {"type": "float", "low": 0.1, "high": 1.0}


@pytest.mark.parametrize(
    ("tree", "size"),
    [
        (TREE, 36),
        (TREE | {"momentum": MOMENTUM}, 2 * 12 + 24),
        (TREE | {"rate": RATE}, None),
        ({"width": {"type": "int", "low": 1, "high": 2_000_000}}, None),
        ({}, 1),
    ],
)
def test_the_size_of_a_space(tree: dict[str, Any], size: int | None) -> None:
    assert count_points(Space.parse(tree), {}) == size


def test_every_point_is_picked_once_and_then_none() -> None:
    points = Points(Space.parse(TREE | {"momentum": MOMENTUM}), {})
    rng = np.random.default_rng(0)
    assert points.left == points.size == 48
    found = []
    while (point := points.pick(rng)) is not None:
        assert point not in points
        points.add(point)
        found.append(point)
    assert len(found) == len(points) == 48
    assert points.left == 0


def test_points_with_fixed_values() -> None:
    points = Points(Space.parse(TREE), {})
    rng = np.random.default_rng(0)
    for _ in range(9):
        points.add(points.pick(rng, {"kind": "sgd"}) or {})
    points.add({"kind": "rmsprop", "depth": 1, "drop": 0.1})  # of an earlier space
    assert points.left == 27
    left = [points.pick(rng, {"kind": "sgd"}) for _ in range(20)]
    assert all(each is not None and each["kind"] == "sgd" and each not in points for each in left)
    for each in Space.parse(TREE).grid({}, {"kind": "sgd"}):
        points.add(each)
    assert points.pick(rng, {"kind": "sgd"}) is None
    assert points.pick(rng, {"kind": None}) is not None


def test_true_and_one_are_two_points() -> None:
    points = Points(Space.parse({"x": {"type": "categorical", "choices": [True, 1]}}), {})
    points.add({"x": True})
    assert points.pick(np.random.default_rng(0)) == {"x": 1}
    assert points.left == 1
