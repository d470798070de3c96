from __future__ import annotations

import json

import pyarrow as pa

from rayml.data.columns.schema import FeatureSchema
from rayml.data.rows.infer_schema import infer_schema
from rayml.settings.data import SchemaSettings

TABLE = pa.table(
    {
        "age": ["39", "50", None, "28"],
        "job": ["clerk", "chef", "clerk", None],
        "sex": ["m", "f", "f", "m"],
        "const": ["x"] * 4,
        "y": ["a", "b", "a", "b"],
    }
)


def schema() -> FeatureSchema:
    settings = SchemaSettings(groups=("sex",), ignore=("age",))
    return infer_schema(TABLE, target="y", settings=settings)


def test_it_survives_json() -> None:
    value = json.loads(json.dumps(schema().to_json()))
    assert FeatureSchema.from_json(value) == schema()


def test_it_shows_each_column_of_the_raw_table() -> None:
    lines = str(schema()).splitlines()
    assert lines[0].split() == list(schema().head)
    cells = {line.split()[0]: line for line in lines[1:]}
    assert list(cells) == TABLE.column_names
    assert cells["job"].split() == ["job", "categorical", "feature", "clerk,", "chef", "1", "2"]
    assert "ignored" in cells["age"]
    assert cells["const"].endswith("has a single value")
    assert "feature group" in cells["sex"]


def test_read_names_features_then_target_then_what_is_carried() -> None:
    ignored = SchemaSettings(groups=("sex",), ignore=("sex",))
    found = infer_schema(TABLE, target="y", settings=ignored)
    assert [c.name for c in found.columns] == ["age", "job"]
    assert [c.name for c in found.read()] == ["age", "job", "y", "sex"]
    assert found.ignored == ("const",)
