from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.data.split.dealing import Dealer, check_classes
from rayml.data.split.folds import Folds, deal_by_hash, deal_by_time
from rayml.errors import DataError
from rayml.settings.data import SplitSettings
from rayml.types import TargetInfo

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=120)


def deal(rows: pa.Table, task: str = "binary", **split: Any) -> Folds:
    dealer = Dealer(SplitSettings(**split), "y", task)
    return dealer.deal(dealer.keys(rows))


def table(rows: int, classes: str = "ab", groups: int = 12) -> pa.Table:
    rng = np.random.default_rng(rows)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "x": rng.standard_normal(rows),
            "y": rng.choice(list(classes), rows),
            "g": [f"g{i}" for i in rng.integers(0, groups, rows)],
            "t": pa.array(
                [start + timedelta(hours=int(h)) for h in rng.integers(0, 24 * 30, rows)],
                pa.timestamp("us", tz="UTC"),
            ),
        }
    )


METHODS: list[dict[str, Any]] = [
    {"method": "random"},
    {"method": "stratified"},
    {"method": "group", "column": "g"},
    {"method": "time", "column": "t"},
]


@pytest.mark.parametrize("split", METHODS, ids=lambda s: s["method"])
@given(order=st.permutations(range(60)))
@settings(max_examples=15)
def test_folds_do_not_depend_on_the_order_of_the_rows(
    split: dict[str, Any], order: list[int]
) -> None:
    rows = table(60)
    shuffled = deal(rows.take(order), folds=4, **split)
    assert (shuffled.held == deal(rows, folds=4, **split).held[order]).all()


@given(rows=ROWS, count=st.integers(2, 6))
def test_each_row_is_held_out_once_and_trains_all_other_models(
    rows: list[tuple[int, int]], count: int
) -> None:
    strata, keys = (np.array(each, np.uint64) for each in zip(*rows, strict=True))
    folds = deal_by_hash(strata, keys + strata * np.uint64(100), count, divide=True)
    held = [folds.held_out(fold) for fold in range(count)]
    assert sorted(np.concatenate(held).tolist()) == list(range(len(rows)))
    for fold in range(count):
        both = np.concatenate([held[fold], folds.trained(fold)])
        assert sorted(both.tolist()) == list(range(len(rows)))


@given(strata=st.lists(st.integers(0, 4), min_size=1, max_size=200), count=st.integers(2, 7))
def test_different_rows_are_dealt_to_the_row(strata: list[int], count: int) -> None:
    keys = np.arange(len(strata), dtype=np.uint64)
    classes = np.array(strata, np.uint64)
    folds = deal_by_hash(classes, keys, count, divide=True)
    for stratum in np.unique(classes):
        sizes = np.bincount(folds.held[classes == stratum], minlength=count)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(folds.held, minlength=count)
    assert sizes.max() - sizes.min() <= 1


@given(rows=ROWS, count=st.integers(2, 6))
def test_equal_keys_stay_together(rows: list[tuple[int, int]], count: int) -> None:
    keys = np.array([key for _, key in rows], np.uint64)
    strata = np.zeros(len(keys), np.uint64)
    held = deal_by_hash(strata, keys, count, divide=False).held
    assert all(len(np.unique(held[keys == key])) == 1 for key in np.unique(keys))


def test_a_class_with_repeated_rows_is_dealt_within_a_row_or_two() -> None:
    rng = np.random.default_rng(0)
    keys = np.repeat(np.arange(600, dtype=np.uint64), rng.integers(1, 3, 600))
    strata = keys % np.uint64(3)
    folds = deal_by_hash(strata, keys, 5, divide=True)
    assert all(len(np.unique(folds.held[keys == key])) == 1 for key in keys)
    for stratum in range(3):
        sizes = np.bincount(folds.held[strata == stratum], minlength=5)
        assert sizes.max() - sizes.min() <= 2


def test_few_different_rows_are_divided() -> None:
    keys = np.repeat(np.array([3, 8], np.uint64), [60, 41])
    folds = deal_by_hash(keys, keys, 5, divide=True)
    assert np.bincount(folds.held[keys == 3]).tolist() == [12] * 5
    assert sorted(np.bincount(folds.held).tolist()) == [20, 20, 20, 20, 21]


def test_the_seed_deals_anew() -> None:
    rows = table(200)
    first, second = (deal(rows, folds=4, method="random", seed=seed) for seed in (0, 1))
    assert (first.held != second.held).any()


def test_rows_that_differ_in_their_given_split_are_equal() -> None:
    rows = table(40)
    both = pa.concat_tables(
        [
            rows.append_column("split", pa.repeat(name, rows.num_rows).cast(pa.string()))
            for name in ("train", "validation")
        ]
    )
    held = deal(both, folds=4, method="given", column="split").held
    assert (held[:40] == held[40:]).all()


@given(
    times=st.lists(st.integers(0, 40), min_size=8, max_size=100),
    count=st.integers(2, 4),
    gap=st.integers(0, 6),
)
def test_folds_by_time_are_stretches_with_gaps(times: list[int], count: int, gap: int) -> None:
    moments = np.array(times, np.float64)
    if len(np.unique(moments)) < count:
        return
    folds = deal_by_time(moments, count, gap)
    bounds = [moments[folds.held_out(fold)] for fold in range(count)]
    assert all(len(each) for each in bounds)
    for earlier, later in pairwise(bounds):
        assert earlier.max() < later.min()
    for fold, held in enumerate(bounds):
        other = folds.held != fold
        outside = np.maximum(held.min() - moments, moments - held.max())
        expected = np.flatnonzero(other & (outside >= gap))
        assert folds.trained(fold).tolist() == expected.tolist()


def test_a_gap_of_times_is_in_days() -> None:
    folds = deal(table(400), folds=3, method="time", column="t", gap=2.0)
    times = table(400)["t"].to_numpy().astype("datetime64[us]")
    held = times[folds.held_out(1)]
    near = times[folds.trained(1)]
    two = np.timedelta64(2, "D")
    assert not ((near > held.min() - two) & (near < held.max() + two)).any()


@pytest.mark.parametrize(
    ("rows", "split", "message"),
    [
        (3, {"method": "random", "folds": 5}, "more than the 3 rows"),
        (60, {"method": "group", "column": "g", "folds": 20}, "more than the 12 groups"),
        (5, {"method": "time", "column": "t", "folds": 9}, "more than the 5 different times"),
        (60, {"method": "time", "column": "t", "folds": 2, "gap": 90}, "beside fold 1 of 2"),
    ],
)
def test_too_many_folds_are_refused(rows: int, split: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        deal(table(rows), **split)


def test_folds_of_few_different_rows_are_refused() -> None:
    rows = pa.table({"x": [1.0] * 3 + [2.0] * 3, "y": ["a"] * 3 + ["b"] * 3})
    with pytest.raises(DataError, match="leaves a fold without rows"):
        deal(rows, folds=5, method="random")


def test_a_class_rarer_than_the_folds_is_refused() -> None:
    codes = np.array([0] * 20 + [1] * 3)
    folds = deal_by_hash(codes.astype(np.uint64), np.arange(23, dtype=np.uint64), 5, divide=True)
    with pytest.raises(DataError, match="more than the 3 rows of class 'b'"):
        check_classes(folds, codes, TargetInfo("y", "binary", ("a", "b")))


def test_a_fold_that_does_not_see_a_class_is_refused() -> None:
    held = np.repeat(np.arange(2), 6).astype(np.int16)
    codes = np.repeat([0, 1], 6)
    with pytest.raises(DataError, match="fold 1 of 2 trains on no row of class 'a'"):
        check_classes(Folds(2, held, held, held), codes, TargetInfo("y", "binary", ("a", "b")))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"folds": 1}, "holds out all rows"),
        ({"folds": -1}, "greater than or equal to 0"),
        ({"folds": 51}, "less than or equal to 50"),
        ({"gap": 1.0}, "folds by time alone"),
        ({"folds": 3, "gap": 1.0, "method": "random"}, "folds by time alone"),
    ],
)
def test_settings_that_make_no_folds_are_refused(split: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSettings(**split)


def test_no_folds_may_be_written_as_null() -> None:
    assert SplitSettings(folds=None).folds == 0  # type: ignore[arg-type]
