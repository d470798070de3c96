"""Calibration scores are checked when they are read, and give each row its limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rayml.registry.bundle.intervals import GroupScores, Intervals

ADAPTER = TypeAdapter(Intervals)


def test_each_group_has_limits_of_its_own_where_it_has_enough_rows() -> None:
    found = Intervals(
        scores=tuple(range(1, 100)),
        group="colour",
        groups=(
            GroupScores(value="red", scores=tuple(range(10, 29))),
            GroupScores(value=True, scores=(7.0,)),
        ),
        pooled=("blue",),
    )
    assert found.places(["blue", "red", True]).tolist() == [-1, 0, 1, -1]
    assert found.supports(0.99)
    assert not found.supports(0.995)
    groups = np.array([0, 0, 1, -1, 0])
    limits, used = found.limits(groups, np.array([0.5, 0.95, 0.5, 0.9, 0.99]))
    assert limits.tolist() == [19, 28, 7, 90, 99]
    assert used is not None
    assert used.tolist() == [0, 0, 1, -1, -1]
    assert groups.tolist() == [0, 0, 1, -1, 0]
    limits, used = found.limits(None, np.array([0.9, 0.5]))
    assert (limits.tolist(), used) == ([90, 50], None)


def test_it_survives_json() -> None:
    found = Intervals(scores=(0.1, 1 / 3), offset=0.5)
    assert ADAPTER.validate_json(ADAPTER.dump_json(found)) == found


@pytest.mark.parametrize(
    "bad",
    [
        {"scores": []},
        {"scores": [2, 1]},
        {"scores": [-1, 1]},
        {"scores": [1, float("inf")]},
        {"scores": [float("nan")]},
        {"scores": [0.0] * 20_001},
        {"scores": [1], "offset": 0},
        {"scores": [1], "offset": float("inf")},
        {"scores": [1], "groups": [{"value": "a", "scores": [1]}]},
        {"scores": [1], "group": "g", "groups": [{"value": "a", "scores": [2, 1]}]},
        {"scores": [1], "group": "g", "groups": [{"value": "a", "scores": [1]}], "pooled": ["a"]},
        {"scores": [1], "group": "g", "pooled": [str(at) for at in range(1001)]},
        {"scores": [1], "group": "g", "groups": [{"value": 3, "scores": [1]}]},
        {"scores": [1], "measured": [{"level": 1.5, "coverage": 1, "size": 1, "rows": 1}]},
        {"scores": [1], "more": 1},
    ],
)
def test_odd_content_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(bad)


def test_all_groups_together_are_bounded() -> None:
    groups = [{"value": str(at), "scores": [0.0] * 15_000} for at in range(2)]
    with pytest.raises(ValidationError, match="more than 20000 scores"):
        ADAPTER.validate_python({"scores": [1], "group": "g", "groups": groups})
