from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.fit.observe import observe
from rayml.data.fit.oddities import Odd, Oddities
from rayml.data.fit.preprocess import Preprocessor
from rayml.settings.data import PreprocessSettings

START = datetime(2024, 1, 1, tzinfo=UTC)
SCHEMA = FeatureSchema(
    columns=(
        Column("age", "numeric"),
        Column("pay", "numeric"),
        Column("flat", "numeric"),
        Column("when", "timestamp"),
        Column("job", "categorical"),
        Column("city", "categorical"),
        Column("ok", "boolean"),
    ),
    target="y",
    target_kind="categorical",
    missing=("?", "cook"),
)
TYPES = pa.schema([(column.name, ARROW_TYPES[column.kind]) for column in SCHEMA.columns])
USUAL: dict[str, Any] = {
    "age": 30.0,
    "pay": 2.0,
    "flat": 7.0,
    "when": START,
    "job": "cook",
    "city": "Paris",
    "ok": True,
}


def fitted(**settings: Any) -> Preprocessor:
    """Ages from 20 to 60, times of ten days; pay, city and ok have missing values."""
    table = pa.table(
        {
            "age": [20.0, 60.0, 30.0, 40.0],
            "pay": [1.0, 2.0, None, 3.0],
            "flat": [7.0] * 4,
            "when": pa.array([START + timedelta(days=d) for d in (0, 10, 5, 2)], TYPES.types[3]),
            "job": ["cook", "clerk", "cook", "chef"],
            "city": ["Paris", "Rome", None, "Rome"],
            "ok": [True, None, False, True],
            "y": ["a", "b", "a", "b"],
        }
    )
    statistics = observe(table, SCHEMA, "binary")
    return Preprocessor.fit(SCHEMA, statistics, PreprocessSettings(**settings), "binary").watching()


@pytest.fixture(scope="module")
def preprocessor() -> Preprocessor:
    return fitted()


def oddities(preprocessor: Preprocessor) -> Oddities:
    assert preprocessor.oddities is not None
    return preprocessor.oddities


@pytest.mark.parametrize(
    ("changes", "odd"),
    [
        ({}, {}),
        ({"job": "smith", "city": "Oslo"}, {"job": "unknown", "city": "unknown"}),
        ({"job": None, "city": None}, {"job": "missing"}),
        ({"job": "?", "city": "?"}, {"job": "missing"}),
        ({"age": None, "pay": None, "ok": None}, {"age": "missing"}),
        ({"when": None}, {"when": "missing"}),
        # The range of ages is 40 wide, that of times ten days.
        ({"age": -20.0}, {}),
        ({"age": -20.5}, {"age": "range"}),
        ({"age": 100.0, "pay": 5.0}, {}),
        ({"age": 100.5, "pay": 5.5}, {"age": "range", "pay": "range"}),
        ({"when": START + timedelta(days=20)}, {}),
        ({"when": START + timedelta(days=20, seconds=1)}, {"when": "range"}),
        ({"when": START - timedelta(days=10, seconds=1)}, {"when": "range"}),
        ({"flat": 1e9}, {}),  # the model gives nothing for it
    ],
)
def test_what_is_odd(preprocessor: Preprocessor, changes: dict[str, Any], odd: Odd) -> None:
    row = USUAL | changes
    found = oddities(preprocessor)
    assert found.of_row(row) == odd
    table = pa.Table.from_pylist([USUAL, row, USUAL], schema=TYPES)
    assert found.of_table(table) == ({1: odd} if odd else {})
    for rows in ([row], [USUAL, row]):
        assert preprocessor.transform_rows(rows).odd == bool(odd)
    assert preprocessor.transform_batch(table).odd == bool(odd)


def test_an_absent_column_is_missing(preprocessor: Preprocessor) -> None:
    odd = oddities(preprocessor).of_row({"job": "cook"})
    assert odd == {"age": "missing", "flat": "missing", "when": "missing"}


ROW = st.fixed_dictionaries(
    {
        "age": st.none() | st.floats(allow_nan=False),
        "pay": st.none() | st.floats(-5, 10),
        "flat": st.none() | st.just(7.0),
        "when": st.none()
        | st.integers(-(10**7), 10**7).map(lambda s: START + timedelta(seconds=s)),
        "job": st.none() | st.sampled_from(["cook", "clerk", "?", "smith"]),
        "city": st.none() | st.sampled_from(["Rome", "?", ""]),
        "ok": st.none() | st.booleans(),
    }
)


@pytest.mark.parametrize("method", ["standard", "quantile", "none"])
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_rows_tables_and_features_agree(method: str, rows: list[dict[str, Any]]) -> None:
    watching = FITTED[method]
    found = oddities(watching)
    table = pa.Table.from_pylist(rows, schema=TYPES)
    by_row = {i: odd for i, row in enumerate(rows) if (odd := found.of_row(row))}
    assert found.of_table(table) == by_row
    assert watching.transform_rows(rows).odd == watching.transform_batch(table).odd == bool(by_row)


FITTED = {method: fitted(numeric=method) for method in ("standard", "quantile", "none")}


def test_numbers_that_are_not_a_number_are_missing(preprocessor: Preprocessor) -> None:
    rows = pa.Table.from_pylist([USUAL], schema=TYPES)
    age = rows.set_column(0, "age", pa.array([np.nan]))
    assert oddities(preprocessor).of_table(age) == {0: {"age": "missing"}}


def test_who_does_not_watch_is_told_nothing() -> None:
    quiet = fitted().reading(())
    assert quiet.oddities is None
    assert not quiet.transform_rows([{"age": 1e9, "job": "smith"}]).odd


def test_a_column_without_values_has_no_range() -> None:
    columns = (Column("empty", "numeric"), Column("job", "categorical"))
    profile = {"empty": {"missing": 4}, "job": {"missing": 0}}
    preprocessor = FITTED["standard"]
    found = Oddities(columns, preprocessor.categorical[:1], profile)
    assert found.of_row({"empty": 1e300, "job": "cook"}) == {}
    assert found.of_row({"job": "cook"}) == {}
