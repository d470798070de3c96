from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics, merge_all

FLOATS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3)) | st.just(math.nan)
TEXTS = st.none() | st.sampled_from(["a", "b", "c"])
ROWS = st.lists(st.tuples(FLOATS, TEXTS), max_size=30)


def of(rows: list[tuple[float, str | None]]) -> Statistics:
    numbers = np.array([number for number, _ in rows], dtype=np.float64)
    texts = pa.array([text for _, text in rows], pa.string())
    return Statistics({"n": NumericStatistics.of(numbers)}, {"c": CategoryStatistics.of(texts)})


def assert_equal(one: Statistics, other: Statistics, *, exact: bool = False) -> None:
    a, b = one.numeric["n"], other.numeric["n"]
    assert (a.missing, a.count, a.minimum, a.maximum) == (b.missing, b.count, b.minimum, b.maximum)
    tolerance = 0.0 if exact else 1e-9
    assert a.mean == pytest.approx(b.mean, rel=tolerance, abs=tolerance * 1e6)
    assert a.m2 == pytest.approx(b.m2, rel=tolerance, abs=tolerance * 1e12)
    assert a.sketch.keys.tolist() == b.sketch.keys.tolist()
    assert a.sketch.counts.tolist() == b.sketch.counts.tolist()
    c, d = one.categories["c"], other.categories["c"]
    assert (c.missing, c.count, dict(c.counts)) == (d.missing, d.count, dict(d.counts))


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_merged_parts_equal_the_whole(parts: list[list[tuple[float, str | None]]]) -> None:
    assert_equal(merge_all(map(of, parts)), of([row for part in parts for row in part]))


@given(ROWS, ROWS, ROWS)
def test_merging_is_associative(
    a: list[tuple[float, str | None]],
    b: list[tuple[float, str | None]],
    c: list[tuple[float, str | None]],
) -> None:
    one, two, three = of(a), of(b), of(c)
    assert_equal(one.merge(two).merge(three), one.merge(two.merge(three)))
    assert_equal(one.merge(two), two.merge(one))


@given(ROWS)
def test_the_state_survives_a_table_exactly(rows: list[tuple[float, str | None]]) -> None:
    statistics = of(rows)
    table = statistics.to_table()
    assert table.num_rows == 2
    assert_equal(Statistics.from_table(table), statistics, exact=True)


def test_columns_that_only_one_part_has_are_kept() -> None:
    one = Statistics(numeric={"a": NumericStatistics.of(np.array([1.0]))})
    other = Statistics(categories={"b": CategoryStatistics.of(pa.array(["x", None]))})
    merged = one.merge(other)
    assert merged.missing() == {"a": 0, "b": 1}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_quantiles_are_those_of_numpy_while_values_are_few(values: list[float], q: float) -> None:
    array = np.array(values)
    found = NumericStatistics.of(array).quantiles([0.0, q, 1.0])
    expected = np.quantile(array, [0.0, q, 1.0])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-6)


def test_quantiles_of_many_values_are_near_and_independent_of_the_order_of_parts() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    parts = [NumericStatistics.of(part) for part in np.array_split(values, 9)]
    levels = np.linspace(0, 1, 101)
    found = []
    for seed in range(2):
        shuffled = random.Random(seed).sample(parts, len(parts))
        merged = shuffled[0]
        for part in shuffled[1:]:
            merged = merged.merge(part)
        found.append(merged.quantiles(levels))
    assert found[0].tolist() == found[1].tolist()
    np.testing.assert_allclose(found[0], np.quantile(values, levels), rtol=5e-3, atol=2e-3)


def test_moments_of_a_large_offset_keep_their_digits() -> None:
    values = 1e9 + np.arange(1000.0)
    merged = NumericStatistics.of(values[:300]).merge(NumericStatistics.of(values[300:]))
    assert merged.deviation == pytest.approx(np.arange(1000.0).std(), rel=1e-12)


def test_a_single_value_has_no_deviation_even_if_its_mean_is_rounded() -> None:
    assert NumericStatistics.of(np.full(49, 0.1)).deviation == 0
    assert NumericStatistics.of(np.array([])).deviation == 0


def test_categories_are_exact_up_to_the_limit_and_ranked() -> None:
    counted = CategoryStatistics.of(pa.array(["b", "a", "c", "c", None]), limit=3)
    assert counted.ranked() == [("c", 2), ("a", 1), ("b", 1)]
    assert (counted.count, counted.missing) == (4, 1)


@given(st.lists(st.lists(st.integers(0, 40), max_size=50), min_size=1, max_size=5))
def test_frequent_categories_stay_within_the_bound_of_misra_and_gries(
    parts: list[list[int]],
) -> None:
    limit = 5
    merged = CategoryStatistics(0, 0, {}, limit)
    for part in parts:
        texts = pa.array(map(str, part), pa.string())
        merged = merged.merge(CategoryStatistics.of(texts, limit))
    values = [str(value) for part in parts for value in part]
    assert len(merged.counts) <= limit
    assert merged.count == len(values)
    for value in set(values):
        true = values.count(value)
        assert true - len(values) / (limit + 1) <= merged.counts.get(value, 0) <= true
