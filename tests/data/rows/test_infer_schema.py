from __future__ import annotations

import random
import subprocess
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from rayml.config.compose import compose
from rayml.data.columns.kinds import plain
from rayml.data.columns.schema import FeatureSchema
from rayml.data.rows.infer_schema import guess_kind, infer_schema
from rayml.errors import SchemaError
from rayml.settings.data import SchemaSettings
from rayml.types import Kind

NONE = SchemaSettings()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", None], "numeric"),
        (["0", "1", "1"], "numeric"),
        (["true", "No", "YES"], "boolean"),
        (["2024-01-01", "2024-01-02T03:04:05Z"], "timestamp"),
        (["a", "b"], "categorical"),
        (["01234", "99999"], "categorical"),
        (["0", "10"], "numeric"),
        ([None, None], "categorical"),
        ([1, 2], "numeric"),
        ([1.5], "numeric"),
        ([Decimal(1)], "numeric"),
        ([True], "boolean"),
        ([date(2024, 1, 1)], "timestamp"),
        ([datetime(2024, 1, 1)], "timestamp"),
        ([[1]], None),
    ],
)
def test_kinds_are_guessed(values: list[object], kind: Kind | None) -> None:
    assert guess_kind(plain(pa.array(values))) == kind


@pytest.mark.parametrize(
    ("good", "kind"), [("1.5", "numeric"), ("yes", "boolean"), ("2024-01-01", "timestamp")]
)
def test_a_few_misfits_do_not_make_a_column_categorical(good: str, kind: Kind) -> None:
    assert guess_kind(pa.array([good] * 95 + ["oops"] * 5)) == kind
    assert guess_kind(pa.array([good] * 94 + ["oops"] * 6)) == "categorical"


def test_inference_does_not_depend_on_the_order_of_rows() -> None:
    rows = [{"a": str(i), "b": "x" if i % 3 else "7", "y": str(i % 2)} for i in range(40)]
    rows[0]["a"] = "oops"
    found = []
    for seed in range(3):
        table = pa.Table.from_pylist(random.Random(seed).sample(rows, len(rows)))
        found.append(infer_schema(table, target="y", settings=NONE).columns)
    assert found[0] == found[1] == found[2]
    assert [column.kind for column in found[0]] == ["numeric", "categorical"]


def test_columns_that_tell_nothing_are_ignored_with_a_note() -> None:
    table = pa.table(
        {
            "id": [f"u{i}" for i in range(60)],
            "const": [3] * 60,
            "empty": pa.nulls(60),
            "sometimes": [1, None] * 30,
            "x": range(60),
            "y": [0, 1] * 30,
        }
    )
    schema = infer_schema(table, target="y", settings=NONE)
    assert [column.name for column in schema.columns] == ["sometimes", "x"]
    assert schema.ignored == ("id", "const", "empty")
    notes = {summary.name: summary.note for summary in schema.summaries}
    assert notes == {
        "id": "hardly repeats, like an identifier",
        "const": "has a single value",
        "empty": "has no values",
        "sometimes": "",
        "x": "",
        "y": "",
    }


def test_naming_the_kind_of_a_column_makes_it_a_feature() -> None:
    table = pa.table({"id": [f"u{i}" for i in range(60)], "n": [1, 2] * 30, "y": [0, 1] * 30})
    settings = SchemaSettings(kinds={"id": "categorical", "n": "categorical"})
    schema = infer_schema(table, target="y", settings=settings)
    assert [column.kind for column in schema.columns] == ["categorical", "categorical"]


def test_labels_of_a_text_target_stay_as_they_are_written() -> None:
    words = pa.table({"x": ["yes", "no"], "y": ["yes", "no"]})
    boolean = SchemaSettings(kinds={"y": "boolean"})
    plain = infer_schema(words, target="y", settings=NONE)
    overridden = infer_schema(words, target="y", settings=boolean)
    kinds = [plain.target_kind, plain.columns[0].kind, overridden.target_kind]
    assert kinds == ["categorical", "boolean", "boolean"]


def test_reserved_columns_are_categories_and_no_features() -> None:
    table = pa.table({"user": [1, 2, 3], "x": [1, 2, 3], "t": ["2024-01-01"] * 3, "y": [0, 1, 0]})
    schema = infer_schema(table, target="y", settings=NONE, reserved=("user",), carry=("t",))
    assert [column.name for column in schema.columns] == ["x"]
    assert [(column.name, column.kind) for column in schema.carried] == [
        ("user", "categorical"),
        ("t", "timestamp"),
    ]


@pytest.mark.parametrize(
    ("target", "settings", "place"),
    [
        ("nope", NONE, "target"),
        ("y", SchemaSettings(kinds={"nope": "numeric"}), "schema.kinds"),
        ("y", SchemaSettings(ignore=("nope",)), "schema.ignore"),
        ("y", SchemaSettings(groups=("nope",)), "schema.groups"),
    ],
)
def test_unknown_columns_are_refused_with_those_there_are(
    target: str, settings: SchemaSettings, place: str
) -> None:
    table = pa.table({"x": [1, 2], "y": [0, 1]})
    with pytest.raises(
        SchemaError, match=f"{place} names a column that the data lack: 'nope'.*x, y"
    ):
        infer_schema(table, target=target, settings=settings)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_file_with_another_delimiter_is_recognised_by_its_only_name(mark: str) -> None:
    table = pa.table({mark.join(["a", "b, c", "y"]): ["1", "2"]})
    with pytest.raises(SchemaError) as caught:
        infer_schema(table, target="y", settings=NONE)
    said = str(caught.value).partition("delimiter, set ")[2]
    bash = ["bash", "-c", f"printf %s {said}"]
    override = subprocess.run(bash, check=True, capture_output=True, text=True).stdout
    data = ["data=csv", "data.source.paths=a.csv", "data.target=y", "data.task=binary"]
    composed = compose([*data, override])
    assert composed.problems == ()
    assert composed.plain["data"]["source"]["csv"]["delimiter"] == mark


def test_other_contradictions_are_refused() -> None:
    table = pa.table({"x": [1, 2], "list": [[1], [2]], "y": [0, 1]})
    with pytest.raises(SchemaError, match=r"'list' is of type list.*schema\.ignore"):
        infer_schema(table, target="y", settings=NONE)
    with pytest.raises(SchemaError, match="cannot be read as timestamp"):
        infer_schema(table, target="y", settings=SchemaSettings(kinds={"x": "timestamp"}))
    with pytest.raises(SchemaError, match="the target 'y' is ignored"):
        infer_schema(table, target="y", settings=SchemaSettings(ignore=("y", "list")))
    with pytest.raises(SchemaError, match="no column is left as a feature"):
        infer_schema(table, target="y", settings=SchemaSettings(ignore=("x", "list")))
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
    with pytest.raises(SchemaError, match="the same name"):
        infer_schema(twice, target="x", settings=NONE)


def test_the_column_of_a_split_is_categorical() -> None:
    rows = pa.table({"x": [1.0, 2.0], "part": ["train", "test"], "y": ["a", "b"]})
    settings = SchemaSettings(kinds={"part": "numeric"})
    with pytest.raises(SchemaError, match="makes column 'part' numeric, and it names splits"):
        infer_schema(rows, target="y", settings=settings, reserved=("part",))


def test_times_that_python_lacks_are_no_examples() -> None:
    times = pa.array([2**60, 0], pa.timestamp("us"))
    rows = pa.table({"t": times, "y": ["a", "b"]})
    (summary, _) = infer_schema(rows, target="y", settings=SchemaSettings()).summaries
    assert summary.examples == ("1970-01-01 00:00:00",)


def test_tokens_of_a_missing_value_are_of_no_kind() -> None:
    table = pa.table({"x": [*map(str, range(10)), *["?"] * 10], "y": ["a", "b"] * 10})
    assert infer_schema(table, target="y", settings=NONE).columns[0].kind == "categorical"
    settings = SchemaSettings(missing=("?", "NA"))
    schema = infer_schema(table, target="y", settings=settings, missing=("NA", ""))
    assert schema.columns[0].kind == "numeric"
    assert schema.missing == ("NA", "", "?")
    assert schema.summaries[0].missing == 10
    assert FeatureSchema.from_json(schema.to_json()) == schema
    older = schema.to_json()
    del older["missing"]
    assert FeatureSchema.from_json(older).missing == ()
