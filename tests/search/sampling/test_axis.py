"""Axes: values to coordinates and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rayml.search.sampling.axis import Axis

RANGES: list[BaseDistribution] = [
    FloatDistribution(-2.0, 5.0),
    FloatDistribution(1e-5, 1.0, log=True),
    FloatDistribution(0.0, 0.9, step=0.1),
    IntDistribution(1, 3),
    IntDistribution(16, 256, step=16),
    IntDistribution(1, 1000, log=True),
    IntDistribution(0, 100_000),
    CategoricalDistribution(["a", None, True, 2, 0.5]),
]


@pytest.mark.parametrize("distribution", RANGES, ids=str)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_share_gives_a_value_of_the_range(distribution: BaseDistribution, share: float) -> None:
    axis = Axis(distribution)
    value = axis.spread(share)
    assert distribution._contains(distribution.to_internal_repr(value))
    assert isinstance(value, int) or not isinstance(distribution, IntDistribution)
    unit = axis.encode(value)
    assert axis.decode(unit) == pytest.approx(value, rel=1e-9) if axis.choices == 0 else True
    assert 0 <= unit <= max(axis.choices - 1, 1)


@pytest.mark.parametrize("distribution", RANGES, ids=str)
def test_snapping_gives_coordinates_of_values(distribution: BaseDistribution) -> None:
    axis = Axis(distribution)
    units = axis.snap(np.linspace(0, 1, 50)) if not axis.choices else np.zeros(1)
    assert axis.snap(units) == pytest.approx(units, abs=1e-12)
    assert [axis.encode(axis.decode(unit)) for unit in units] == pytest.approx(units, abs=1e-9)


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(0.0, 0.9, step=0.1),
        IntDistribution(1, 3),
        IntDistribution(16, 256, step=16),
        IntDistribution(1, 1000, log=True),
    ],
    ids=str,
)
def test_cells_lie_side_by_side(distribution: FloatDistribution | IntDistribution) -> None:
    axis = Axis(distribution)
    assert axis.cells
    values = np.arange(distribution.low, distribution.high + 1e-9, distribution.step)
    start, end = axis.edges(np.array([axis.encode(value.item()) for value in values]))
    assert start[0] == pytest.approx(0, abs=1e-9)
    assert end[-1] == pytest.approx(1, abs=1e-9)
    assert start[1:] == pytest.approx(end[:-1], abs=1e-9)
    assert not Axis(IntDistribution(0, 100_000)).cells


def test_every_value_of_a_small_range_has_its_share() -> None:
    axis = Axis(IntDistribution(1, 4))
    values = [axis.spread(share) for share in (np.arange(1000) + 0.5) / 1000]
    assert [values.count(each) for each in (1, 2, 3, 4)] == [250] * 4
    choices = Axis(CategoricalDistribution("abcd"))
    drawn = [choices.spread(share) for share in (np.arange(1000) + 0.5) / 1000]
    assert [drawn.count(each) for each in "abcd"] == [250] * 4


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (IntDistribution(1, 3), 4),
        (FloatDistribution(1e-5, 1.0, log=True), 0.0),
        (FloatDistribution(0.0, 1.0), "x"),
        (CategoricalDistribution(["a", "b"]), "c"),
    ],
)
def test_a_value_outside_has_no_coordinate(distribution: BaseDistribution, value: Any) -> None:
    assert math.isnan(Axis(distribution).encode(value))


def test_every_value_of_a_range_of_few() -> None:
    for distribution in RANGES:
        units, axis = Axis(distribution).every(64), Axis(distribution)
        if isinstance(distribution, CategoricalDistribution):
            wanted = list(distribution.choices)
        elif not distribution.step or (distribution.high - distribution.low) > 300:
            assert units is None
            continue
        else:
            count = round((distribution.high - distribution.low) / distribution.step) + 1
            wanted = [distribution.low + i * distribution.step for i in range(count)]
        assert units is not None
        assert [axis.decode(unit) for unit in units] == pytest.approx(wanted)
        assert units.tolist() == pytest.approx([axis.encode(each) for each in wanted])
    assert Axis(IntDistribution(1, 64)).every(64) is not None
    assert Axis(IntDistribution(1, 65)).every(64) is None
