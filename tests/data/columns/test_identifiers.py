from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.identifiers import (
    IDENTIFIER,
    INDEX,
    LEFT_OUT,
    ROW_NUMBER,
    SPLIT_NAMES,
    reason_to_leave_out,
)
from rayml.data.columns.kinds import plain
from rayml.data.rows.infer_schema import guess_kind, infer_schema
from rayml.settings.data import SchemaSettings

ROWS = 200
RNG = np.random.default_rng(0)


def reason(name: str, values: Any, *, index: bool = False, rows: int | None = None) -> str:
    column = plain(pa.array(values))
    kind = guess_kind(column)
    assert kind is not None
    return reason_to_leave_out(name, column, kind, index=index, rows=rows)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("__index_level_0__", RNG.normal(size=ROWS), INDEX),
        ("Unnamed: 0", [str(i) for i in range(ROWS)], INDEX),
        ("Unnamed: 0", ["a", "b"] * 100, ""),
        ("row", RNG.permutation(ROWS), ROW_NUMBER),
        ("row", [float(i) for i in range(1000, 1000 + ROWS)], ROW_NUMBER),
        ("row", [str(i + 1) for i in range(ROWS)], ROW_NUMBER),
        ("year", range(1800, 1800 + ROWS), ""),
        ("x", range(ROWS), ""),
        ("customer_id", RNG.choice(10**9, ROWS, replace=False), IDENTIFIER),
        ("customerId", RNG.choice(10**9, ROWS, replace=False), IDENTIFIER),
        ("store_id", RNG.integers(0, 20, ROWS), ""),
        ("paid", RNG.choice(10**9, ROWS, replace=False), ""),
        ("humid", RNG.choice(10**9, ROWS, replace=False), ""),
        ("id", RNG.normal(size=ROWS), ""),
        ("code", [f"c{i}" for i in range(ROWS)], IDENTIFIER),
        ("colour", ["red", "blue"] * 100, ""),
        ("part", ["train", "test"] * 100, SPLIT_NAMES),
        ("part", ["Train", "val"] * 100, SPLIT_NAMES),
        ("vehicle", ["train", "bus"] * 100, ""),
        ("few", range(20), ""),
    ],
)
def test_what_names_rows_is_left_out(name: str, values: Any, expected: str) -> None:
    assert reason(name, values) == expected


def test_an_index_that_the_source_names_is_left_out() -> None:
    assert reason("patient", RNG.normal(size=ROWS), index=True) == INDEX


def test_a_sample_of_many_row_numbers_is_told_by_the_number_of_rows() -> None:
    sampled = RNG.choice(10**6, ROWS, replace=False)
    assert reason("row", sampled, rows=10**6) == ROW_NUMBER
    assert reason("row", sampled, rows=10**5) == ""


@given(
    st.lists(st.floats(-1e6, 1e6).filter(lambda x: x != int(x)), min_size=50, unique=True),
    st.sampled_from(["id", "customer_id", "x", "Unnamed: 0"]),
)
def test_numbers_with_fractions_are_no_identifiers(values: list[float], name: str) -> None:
    assert reason(name, values) == ""


@given(st.lists(st.integers(-(10**6), 10**6), min_size=50, unique=True))
def test_whole_numbers_number_rows_only_where_they_are_dense(values: list[int]) -> None:
    dense = max(values) - min(values) + 1 <= 1.05 * len(values)
    assert reason("row_no", values) == (ROW_NUMBER if dense else "")
    assert reason("x", values) == ""


def bundled() -> list[tuple[str, pa.Table, str]]:
    from sklearn import datasets

    found = []
    for name in ("breast_cancer", "diabetes", "digits", "iris", "wine"):
        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        found.append((name, pa.Table.from_pandas(frame, preserve_index=False), "target"))
    return found


@pytest.mark.parametrize(("name", "rows", "target"), bundled(), ids=lambda x: str(x)[:20])
def test_no_feature_of_a_bundled_set_is_left_out(name: str, rows: pa.Table, target: str) -> None:
    schema = infer_schema(rows, target=target, settings=SchemaSettings(), rows=rows.num_rows)
    assert [s.name for s in schema.summaries if s.note in LEFT_OUT] == []


DATA = Path(__file__).parents[4] / "shared" / "data"
REAL = [
    ("california/california_housing.csv", "MedHouseVal", {"split"}),
    ("online_shoppers/online_shoppers_intention.csv", "Revenue", set()),
    ("hpobench/credit_g.csv.gz", None, set()),
    ("complete_journey/demographics.csv.gz", None, {"household_id"}),
    ("complete_journey/products.csv.gz", "department", {"product_id"}),
]


@pytest.mark.parametrize(("file", "target", "ids"), REAL, ids=lambda x: str(x)[:20])
def test_of_real_tables_only_identifiers_are_left_out(
    file: str, target: str | None, ids: set[str]
) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip("the data are not here")
    frame = pd.read_csv(path)
    rows = pa.Table.from_pandas(frame.iloc[:10_000], preserve_index=False)
    target = target or rows.column_names[-1]
    schema = infer_schema(rows, target=target, settings=SchemaSettings(), rows=len(frame))
    assert {s.name for s in schema.summaries if s.note in LEFT_OUT} == ids
