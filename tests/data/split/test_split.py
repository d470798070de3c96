from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.columns.split_names import named_splits
from rayml.data.split.split import Splitter, column_of
from rayml.data.split.thresholds import SplitCounts
from rayml.errors import DataError, SchemaError
from rayml.settings.data import SplitSettings
from rayml.types import TaskName

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
SCHEMA = FeatureSchema(
    columns=(Column("x", "numeric"),),
    target="y",
    target_kind="categorical",
    carried=(Column("g", "categorical"), Column("t", "timestamp")),
)


def table(rows: int, classes: str = "ab", groups: int = 20) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "x": np.arange(rows, dtype=np.float64),
            "y": rng.choice(list(classes), rows),
            "g": [f"g{i}" for i in rng.integers(0, groups, rows)],
            "t": pa.array(
                [EPOCH + timedelta(hours=int(h)) for h in rng.integers(0, max(rows // 2, 1), rows)],
                pa.timestamp("us", tz="UTC"),
            ),
        }
    )


def split(
    rows: pa.Table, parts: list[int] | None = None, task: TaskName = "binary", **settings: Any
) -> np.ndarray:
    """Split rows that arrive in parts; sides in the order of the rows."""
    splitter = Splitter(SplitSettings(**settings), SCHEMA, task)
    bounds = [0, *(parts or []), rows.num_rows]
    blocks = [rows.slice(start, end - start) for start, end in pairwise(bounds)]
    counts = SplitCounts()
    for block in reversed(blocks):
        counts = counts.merge(SplitCounts.from_table(splitter.count(block).to_table()))
    ranges = splitter.ranges(counts)
    tallies = [splitter.tally(block, ranges) for block in blocks]
    plan = splitter.plan(counts, tallies)
    sides = np.concatenate(
        [each.splits(block) for each, block in zip(plan.by_block(tallies), blocks, strict=True)]
    )
    assert [int((sides == side).sum()) for side in range(3)] == list(plan.sizes)
    return sides


METHODS: list[dict[str, Any]] = [
    {"method": "random"},
    {"method": "stratified"},
    {"method": "group", "column": "g"},
    {"method": "time", "column": "t"},
]


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: s["method"])
@given(order=st.permutations(range(40)), parts=st.lists(st.integers(0, 40), max_size=3))
def test_a_split_does_not_depend_on_the_order_of_rows_or_blocks(
    settings: dict[str, Any], order: list[int], parts: list[int]
) -> None:
    rows = table(40)
    shuffled = split(rows.take(order), sorted(parts), **settings)
    assert shuffled.tolist() == split(rows, **settings)[order].tolist()


@pytest.mark.parametrize("settings", METHODS[:3], ids=lambda s: s["method"])
def test_the_seed_decides(settings: dict[str, Any]) -> None:
    rows = table(200)
    first, again, other = (split(rows, seed=seed, **settings) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@given(st.integers(10, 300), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_fractions_of_random_rows_are_exact(rows: int, validation: float, test: float) -> None:
    sides = split(table(rows), method="random", validation=validation, test=test)
    assert (sides == 1).sum() == round(rows * validation)
    assert (sides == 2).sum() == round(rows * test)


def test_fractions_are_exact_in_each_stratum() -> None:
    rows = table(997, classes="aaaabc")
    sides = split(rows, task="multiclass", method="stratified", validation=0.15, test=0.25)
    labels = np.array(rows["y"].to_pylist())
    for label, count in Counter(labels.tolist()).items():
        assert (sides[labels == label] == 1).sum() == round(count * 0.15)
        assert (sides[labels == label] == 2).sum() == round(count * 0.25)


@given(st.integers(3, 60), st.integers(0, 5))
def test_no_group_is_on_two_sides(groups: int, seed: int) -> None:
    rows = table(300, groups=groups)
    sides = split(rows, method="group", column="g", seed=seed)
    names = np.array(rows["g"].to_pylist())
    assert all(len(set(sides[names == name])) == 1 for name in set(names))


def test_many_groups_come_close_to_the_fractions() -> None:
    sides = split(table(5000, groups=500), method="group", column="g")
    assert [(sides == side).mean() for side in range(3)] == pytest.approx([0.6, 0.2, 0.2], abs=5e-3)


def test_three_groups_still_make_three_splits() -> None:
    assert set(split(table(30, groups=3), method="group", column="g")) == {0, 1, 2}


def test_times_are_in_order_and_ties_stay_together() -> None:
    rows = table(400)
    sides = split(rows, method="time", column="t")
    times = np.array(rows["t"].to_pylist())
    assert times[sides == 0].max() < times[sides == 1].min()
    assert times[sides == 1].max() < times[sides == 2].min()
    assert (sides == 2).mean() == pytest.approx(0.2, abs=0.01)


def test_numbers_order_too() -> None:
    schema = FeatureSchema((Column("x", "numeric"),), "y", "categorical")
    splitter = Splitter(SplitSettings(method="time", column="x"), schema, "binary")
    rows = pa.table({"x": [-3.0, 5.0, -1.0, 0.0, 7.0], "y": ["a"] * 5})
    assert splitter.plan(splitter.count(rows)).splits(rows).tolist() == [0, 1, 0, 0, 2]


def test_rows_that_repeat_little_fall_on_the_same_side() -> None:
    rows = pa.concat_tables([table(50)] * 3)
    sides = split(rows, method="random").reshape(3, 50)
    assert (sides == sides[0]).all()


def few_valued(rows: int, values: int = 2, seed: int = 0) -> pa.Table:
    """Rows of two columns of few values, so that nearly all repeat."""
    rng = np.random.default_rng(seed)
    whole = table(rows)
    whole = whole.set_column(0, "x", pa.array(rng.integers(0, values, rows).astype(np.float64)))
    whole = whole.set_column(2, "g", pa.array(["g"] * rows))
    return whole.set_column(3, "t", pa.repeat(whole["t"][0], rows))


def contents(rows: pa.Table, sides: np.ndarray) -> Counter[tuple[float, str, int]]:
    """How often each row stands on each side."""
    return Counter(zip(rows["x"].to_pylist(), rows["y"].to_pylist(), sides.tolist(), strict=True))


@pytest.mark.parametrize("method", ["random", "stratified"])
def test_few_different_rows_meet_the_fractions_and_each_is_in_each_split(method: str) -> None:
    rows = few_valued(1000)
    sides = split(rows, [300, 700], method=method)
    assert [int((sides == side).sum()) for side in range(3)] == [600, 200, 200]
    found = contents(rows, sides)
    for (x, y), copies in Counter(
        zip(rows["x"].to_pylist(), rows["y"].to_pylist(), strict=True)
    ).items():
        assert abs(found[x, y, 1] - copies / 5) <= 1
        assert abs(found[x, y, 2] - copies / 5) <= 1


@pytest.mark.parametrize("method", ["random", "stratified"])
@given(
    size=st.integers(12, 400),
    values=st.integers(1, 60),
    seed=st.integers(0, 9),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    parts=st.lists(st.integers(0, 400), max_size=4),
)
def test_repeated_rows_meet_the_fractions_however_they_are_cut(
    method: str,
    size: int,
    values: int,
    seed: int,
    validation: float,
    test: float,
    parts: list[int],
) -> None:
    rows = few_valued(size, values, seed)
    fractions = {"validation": validation, "test": test, "method": method}
    whole = split(rows, **fractions)
    assert abs((whole == 1).sum() - size * validation) <= 2
    assert abs((whole == 2).sum() - size * test) <= 2
    order = np.random.default_rng(seed).permutation(size)
    shuffled = rows.take(order)
    cut = split(shuffled, sorted(min(part, size) for part in parts), **fractions)
    assert contents(shuffled, cut) == contents(rows, whole)


def test_repeated_rows_meet_the_fractions_where_keys_are_counted_by_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rayml.data.split.split.KEY_ENTRIES", 64)
    monkeypatch.setattr("rayml.data.split.thresholds.KEY_ENTRIES", 64)
    few, many = few_valued(3000), table(3000)
    rows = pa.concat_tables([few, many.cast(few.schema)])
    for method in ("random", "stratified"):
        sides = split(rows, [500, 2500, 4000], method=method)
        assert abs((sides == 1).sum() - 1200) <= 2
        assert abs((sides == 2).sum() - 1200) <= 2
        whole = split(rows, method=method)
        assert contents(rows, sides) == contents(rows, whole)


def test_a_split_without_repeated_rows_is_the_one_it_always_was() -> None:
    for method in ("random", "stratified"):
        sides = split(table(500), method=method, seed=7)
        digest = hashlib.sha256(sides.tobytes()).hexdigest()[:16]
        assert digest == {"random": "fe64d63e87703c2e", "stratified": "e1651f729cba2bcb"}[method]


def test_given_names_of_sides() -> None:
    names = ["train", "Training", " VAL", "valid", "dev", "validation", "test", None, "holdout"]
    assert named_splits(pa.chunked_array([names])).tolist() == [0, 0, 1, 1, 1, 1, 2, -1, -1]


def given_table(names: list[str]) -> pa.Table:
    return table(len(names)).set_column(2, "g", pa.array(names))


def test_given_splits_are_kept() -> None:
    names = ["train", "validation", "test", "train"] * 5
    sides = split(given_table(names), method="given", column="g")
    assert sides.tolist() == [0, 1, 2, 0] * 5


def test_validation_rows_are_carved_out_of_given_training_rows_by_class() -> None:
    rows = given_table(["train"] * 500 + ["test"] * 100)
    sides = split(rows, method="given", column="g", validation=0.2)
    assert (sides[500:] == 2).all()
    labels = np.array(rows["y"].to_pylist())[:500]
    for label in "ab":
        assert (sides[:500][labels == label] == 1).sum() == round((labels == label).sum() * 0.2)


def test_a_class_that_only_given_test_rows_have_is_no_obstacle() -> None:
    rows = given_table(["train"] * 20 + ["test"] * 2)
    rows = rows.set_column(1, "y", pa.array(["a", "b"] * 10 + ["zz", "00"]))
    assert split(rows, method="given", column="g")[20:].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("names", "empty"),
    [(["train"] * 9, "test"), (["test"] * 9, "train"), (["train", "test"], "validation")],
)
def test_an_empty_split_is_an_error(names: list[str], empty: str) -> None:
    with pytest.raises(DataError, match=f"the {empty} split has no rows"):
        split(given_table(names), method="given", column="g")


def test_what_does_not_suit_is_refused() -> None:
    with pytest.raises(DataError, match="stratified needs classes"):
        Splitter(SplitSettings(method="stratified"), SCHEMA, "regression")
    with pytest.raises(DataError, match="leave no rows to train on"):
        Splitter(SplitSettings(validation=0.5, test=0.5), SCHEMA, "binary")
    with pytest.raises(SchemaError, match="column 'g' is categorical"):
        Splitter(SplitSettings(method="time", column="g"), SCHEMA, "binary")
    with pytest.raises(SchemaError, match=r"split.method=group reads a column"):
        column_of(SplitSettings(method="group"))


def test_a_stratified_split_refuses_a_target_of_too_many_classes() -> None:
    rows = table(1200).set_column(1, "y", pa.array([str(i) for i in range(1200)]))
    with pytest.raises(DataError, match="more than 1000 classes"):
        split(rows, method="stratified")
    with pytest.raises(DataError, match="more than 1000 classes"):
        split(rows, [600], method="stratified")
