"""Numbers, axes and labels of the figures."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rayml.search.charts.style import (
    choice_labels,
    duration,
    log_axis,
    middle,
    number,
    numeric,
    percent,
)


def test_numbers_as_text() -> None:
    assert [number(each) for each in (None, 0.123456789, 11505.0, 1e-7, float("inf"))] == [
        *("", "0.12346", "11,505", "1e-07", "inf")
    ]
    assert [percent(each) for each in (0.0, 0.004, 0.256)] == ["0 %", "under 1 %", "26 %"]


def test_durations_as_people_say_them() -> None:
    assert [duration(each) for each in (4.25, 75, 3725)] == ["4.2 s", "1 min 15 s", "1 h 02 min"]


def test_an_axis_leaves_out_what_lies_far_away() -> None:
    assert middle([float(n) for n in range(20)], "minimize") is None
    low, high = middle([*map(float, range(19)), 1e6], "minimize") or (0.0, 0.0)
    assert low < 0 < 17 <= high < 100
    assert middle([1.0, 1e9], "minimize") is None


def test_ticks_of_a_logarithmic_axis() -> None:
    assert log_axis("lr", 1e-4, 1e-1)["ticktext"] == ["0.0001", "0.001", "0.01", "0.1"]
    assert log_axis("width", 16, 256)["ticktext"] == ["20", "50", "100", "200"]
    assert log_axis("one", 3.0, 3.0)["range"][0] < log_axis("one", 3.0, 3.0)["range"][1]


def test_choices_of_several_types_are_told_apart() -> None:
    mixed = CategoricalDistribution([1, "1", True, None, 0.5])
    assert choice_labels(mixed) == ["1", '"1"', "true", "null", "0.5"]
    assert [numeric(each, mixed) for each in (1, "1", True, None, "x")] == [0, 1, 2, 3, None]


def test_places_on_an_axis() -> None:
    assert numeric(0.1, FloatDistribution(1e-3, 1, log=True)) == 0.1
    assert numeric(-1, FloatDistribution(1e-3, 1, log=True)) is None
    assert numeric("wide", IntDistribution(1, 4)) is None
