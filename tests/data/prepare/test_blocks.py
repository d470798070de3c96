from __future__ import annotations

import random
from itertools import pairwise

import pyarrow as pa
import pytest

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.prepare.blocks import KEY, ORDER, Count, Observe, Place, Sample, Sort, split_start
from rayml.data.rows.coerce import Coercer
from rayml.data.split.split import Splitter
from rayml.data.statistics.statistics import Statistics
from rayml.settings.data import SplitSettings

SCHEMA = FeatureSchema((Column("x", "numeric"),), "y", "categorical")
RAW = pa.table(
    {
        "x": [str(i) for i in range(100)],
        "y": ["a", "b"] * 50,
        "__line__": range(2, 102),
        "__malformed__": [None] * 99 + ["3 fields, expected 2"],
    }
)
SETTINGS = SplitSettings(seed=3)
COERCE = Coercer(SCHEMA, required=("y",))
SPLITTER = Splitter(SETTINGS, SCHEMA, "binary")


def placed() -> pa.Table:
    counts = next(Count.read(Count(COERCE, SPLITTER)(RAW)))[1]
    return Sort()(Place(COERCE, SPLITTER.plan(counts), SETTINGS.seed)(RAW))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sample_is_the_same_however_rows_are_divided(seed: int) -> None:
    sample = Sample(10)
    rows = RAW.take(random.Random(seed).sample(range(100), 100))
    parts = [sample(rows.slice(start, 30)) for start in range(0, 100, 30)]
    merged = sample.smallest(pa.concat_tables(parts))
    assert merged.equals(sample(RAW))
    assert merged.column_names == ["x", "y", KEY]
    assert "99" not in Sample(100)(RAW)["x"].to_pylist()


def test_counts_travel_in_one_row() -> None:
    rows, counts, bad = next(Count.read(Count(COERCE, SPLITTER)(RAW)))
    assert rows == 100
    assert sum(keys.total for keys in counts.strata.values()) == 99
    assert bad.first["line"].to_pylist() == [101]


def test_placed_rows_lie_by_split_and_then_by_hash() -> None:
    order = placed()[ORDER].to_pylist()
    assert order == sorted(order)
    starts = [split_start(split) for split in range(4)]
    sizes = [sum(low <= o < high for o in order) for low, high in pairwise(starts)]
    assert sizes == [59, 20, 20]
    assert split_start(1, 0.5) == (split_start(1) + split_start(2)) // 2


def test_only_the_training_split_is_observed_whole() -> None:
    table = Observe(SCHEMA, "binary")(placed())
    counts = {}
    for split in range(3):
        part = Statistics.from_table(table.filter(pa.array(table["split"].to_numpy() == split)))
        counts[split] = (part.numeric.keys(), part.categories["y"].count)
    assert counts == {0: ({"x"}, 59), 1: (set(), 20), 2: (set(), 20)}
