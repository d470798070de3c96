from __future__ import annotations

import json

import pyarrow as pa
import pytest

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.rows.coerce import BAD_ROWS, Coercer
from rayml.data.rows.quarantine import BadRows
from rayml.errors import SchemaError

SCHEMA = FeatureSchema(
    columns=(Column("age", "numeric"), Column("job", "categorical")),
    target="y",
    target_kind="categorical",
    carried=(Column("part", "categorical"),),
)
RAW = pa.table(
    {
        "__file__": ["f.csv"] * 6,
        "__line__": [2, 3, 4, 5, 6, 7],
        "__malformed__": [None, None, "3 fields, expected 4: 'a,b,c'", None, None, None],
        "other": list("uvwxyz"),
        "age": ["39", "old", None, "inf", None, "50"],
        "job": ["chef", "chef", None, None, None, "clerk"],
        "y": ["a", None, None, "b", None, "b"],
        "part": ["train", "train", None, "test", "train", "soon"],
    }
)


def coercer() -> Coercer:
    return Coercer(SCHEMA, required=("y", "part"), given="part")


def test_good_rows_are_typed_and_bad_rows_say_why() -> None:
    good, bad = coercer()(RAW)
    assert good.to_pylist() == [{"age": 39.0, "job": "chef", "y": "a", "part": "train"}]
    assert bad.schema == BAD_ROWS
    found = {row["line"]: (row["column"], row["value"], row["reason"]) for row in bad.to_pylist()}
    assert found == {
        3: ("age", "old", "is not a finite number"),
        4: (None, None, "3 fields, expected 4: 'a,b,c'"),
        5: ("age", "inf", "is not a finite number"),
        6: ("y", None, "is missing"),
        7: ("part", "soon", "is none of train, validation, test"),
    }


def test_a_bad_row_is_kept_whole() -> None:
    row = coercer()(RAW.slice(1, 1))[1].to_pylist()[0]
    assert row["file"] == "f.csv"
    assert json.loads(row["row"]) == {
        "other": "v", "age": "old", "job": "chef", "y": None, "part": "train",
    }  # fmt: skip


def test_times_that_python_lacks_are_shown() -> None:
    schema = FeatureSchema((Column("t", "timestamp"),), "y", "categorical")
    raw = pa.table({"t": pa.array([3 * 10**17, 0], pa.timestamp("us", tz="UTC")), "y": ["a", "b"]})
    good, bad = Coercer(schema, required=("y",))(raw)
    assert good["y"].to_pylist() == ["b"]
    assert bad["value"].to_pylist() == ["11476-08-15 05:20:00.000000"]
    assert json.loads(bad["row"][0].as_py())["t"] == bad["value"][0].as_py()


def test_sources_without_positions_are_read_too() -> None:
    raw = RAW.drop_columns(["__file__", "__line__", "__malformed__"])
    good, bad = coercer()(raw)
    assert (good.num_rows, bad.num_rows) == (1, 5)
    assert bad["line"].null_count == 5


def test_an_absent_column_is_refused() -> None:
    with pytest.raises(SchemaError, match="lacks the column 'job'"):
        coercer()(RAW.drop_columns(["job"]))


def test_summaries_merge_and_name_the_first_rows() -> None:
    parts = [BadRows.of(coercer()(RAW.slice(i, 2))[1]) for i in (4, 0, 2)]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged.total == 5
    assert merged.counts == {
        "age is not a finite number": 2,
        "malformed": 1,
        "y is missing": 1,
        "part is none of train, validation, test": 1,
    }
    message = str(merged.error(6))
    assert "5 of 6 rows do not fit the schema: f.csv line 3, column 'age': 'old' is not" in message
    assert "f.csv line 4, 3 fields, expected 4" in message
    assert "f.csv line 6, column 'y' is missing" in message
    assert "bad_rows=quarantine" in message


def test_a_summary_is_bounded_and_keeps_the_first() -> None:
    many = pa.table({**dict(zip(RAW.column_names, RAW.columns, strict=True))}).slice(1, 1)
    tables = [many.set_column(1, "__line__", pa.array([line])) for line in range(50, 0, -1)]
    merged = BadRows()
    for table in tables:
        merged = merged.merge(BadRows.of(coercer()(table)[1]))
    assert merged.first["line"].to_pylist() == [1, 2, 3, 4, 5]
    assert "and 45 more" in str(merged.error(50))


def test_without_positions_the_error_shows_the_row() -> None:
    raw = pa.table({"age": ["old"], "job": ["chef"], "y": ["a"], "part": ["train"]})
    message = str(BadRows.of(coercer()(raw)[1]).error(1))
    assert "1 of 1 rows does not fit the schema: column 'age': 'old'" in message
