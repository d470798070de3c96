from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rayml.config.compose import compose
from rayml.data.advice.advice import Advice, of_rows, of_schema, of_splits, read_advice, save_advice
from rayml.data.advice.repeated import Repeated
from rayml.data.rows.infer_schema import infer_schema
from rayml.settings.data import SchemaSettings

ROWS = 400
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, ROWS)
TABLE = pa.table(
    {
        "customer id": RNG.choice(10**8, ROWS, replace=False),
        "a: {b}, (c)": [f"n{i}" for i in range(ROWS)],
        "won": np.where(LABELS == 1, "ja", "nein"),
        "refund": LABELS * 50 + RNG.normal(size=ROWS),
        "n": np.arange(ROWS, dtype=np.float64),
        "x": RNG.normal(size=ROWS),
        "y": np.where(LABELS == 1, "yes", "no"),
    }
)


def test_what_is_left_out_is_told_with_the_way_to_keep_it() -> None:
    schema = infer_schema(TABLE, target="y", settings=SchemaSettings())
    told = list(of_schema(schema))
    assert [each.columns for each in told] == [("customer id",), ("a: {b}, (c)",)]
    assert "'+data.schema.kinds={customer id: numeric}'" in told[0].text
    assert "(c\\): categorical}'" in told[1].text
    data = ["data=csv", "data.source.paths=a.csv", "data.target=y", "data.task=binary"]
    (override,) = shlex.split(told[1].text.partition("keep it with ")[2])
    composed = compose([*data, override])
    assert composed.problems == ()
    kept = composed.typed().data.schema
    again = infer_schema(TABLE, target="y", settings=kept)
    assert "a: {b}, (c)" in [column.name for column in again.columns]


def test_columns_that_tell_too_much_are_named() -> None:
    schema = infer_schema(TABLE, target="y", settings=SchemaSettings())
    told = list(of_rows(schema, TABLE, "binary"))
    assert [(each.topic, each.columns) for each in told] == [
        ("target", ("won",)),
        ("row numbers", ("n",)),
        ("leak", ("refund",)),
    ]
    assert "leave it out with 'data.schema.ignore=[refund]'" in told[2].text
    assert "AUROC 1.0000" in told[2].text


@pytest.mark.parametrize("token", ["?", "n/a: none", "."])
def test_a_text_among_numbers_is_named_with_the_way_to_take_it_as_missing(token: str) -> None:
    ages = [f"{x:.3f}" for x in RNG.normal(size=ROWS)]
    ages[::8] = [token] * len(ages[::8])
    table = pa.table({"age": ages, "x": TABLE["x"], "y": TABLE["y"]})
    (told,) = of_rows(infer_schema(table, target="y", settings=SchemaSettings()), table, "binary")
    assert told.columns == ("age",)
    assert f"since its numbers have {token!r} (50 times) among them" in told.text
    data = ["data=csv", "data.source.paths=a.csv", "data.target=y", "data.task=binary"]
    (override,) = shlex.split(told.text.partition("missing value, set ")[2])
    again = infer_schema(table, target="y", settings=compose([*data, override]).typed().data.schema)
    assert {column.name: column.kind for column in again.columns} == {
        "age": "numeric",
        "x": "numeric",
    }


def test_numbers_with_a_decimal_comma_are_named_and_no_identifiers() -> None:
    prices = [f"{x:.3f}".replace(".", ",") for x in RNG.normal(size=ROWS)]
    table = pa.table({"price": prices, "y": TABLE["y"]})
    schema = infer_schema(table, target="y", settings=SchemaSettings())
    assert [column.name for column in schema.columns] == ["price"]
    (told,) = of_rows(schema, table, "binary")
    assert "column 'price' is categorical, since its numbers have a decimal comma" in told.text
    data = ["data=csv", "data.source.paths=a.csv", "data.target=y", "data.task=binary"]
    (override,) = shlex.split(told.text.partition("is CSV, set ")[2])
    assert compose([*data, override]).plain["data"]["source"]["csv"]["decimal"] == ","


def test_a_text_among_private_numbers_is_not_shown() -> None:
    ages = [f"{x:.3f}" for x in RNG.normal(size=ROWS)]
    ages[::8] = ["Smith"] * len(ages[::8])
    table = pa.table({"age": ages, "y": TABLE["y"]})
    schema = infer_schema(table, target="y", settings=SchemaSettings(private=["age"]))
    (told,) = of_rows(schema, table, "binary")
    assert told.topic == "text among numbers"
    assert "Smith" not in told.text


def test_many_leaks_are_told_in_few_lines() -> None:
    many = {f"c{i}": LABELS * 50 + RNG.normal(size=ROWS) for i in range(9)}
    table = pa.table({**many, "y": TABLE["y"]})
    schema = infer_schema(table, target="y", settings=SchemaSettings())
    told = list(of_rows(schema, table, "binary"))
    assert len(told) == 6
    assert "4 more columns each nearly determine the target" in told[-1].text


def test_what_the_splits_share_and_lack_is_told() -> None:
    sizes = {"train": 600, "validation": 200, "test": 200}
    both = {"no": 190, "yes": 10}
    classes = {"train": both, "validation": both, "test": {"no": 200}}
    told = list(of_splits(Repeated(0, 12), sizes, "y", classes))  # type: ignore[arg-type]
    assert told[0].text == "12 of 200 test rows equal a training row"
    assert "has no row of class 'yes'" in told[1].text
    assert list(of_splits(Repeated(0, 0), sizes, "y", {})) == []  # type: ignore[arg-type]


def test_advice_is_stored(tmp_path: Path) -> None:
    assert read_advice(tmp_path) == ()
    advice = [Advice("leak", "columns that…", ("a", "b")), Advice("repeated rows", "12 rows")]
    save_advice(tmp_path, advice)
    assert read_advice(tmp_path) == tuple(advice)


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "wine"])
def test_bundled_data_have_no_leaks(name: str) -> None:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame.astype({"target": float})
    table = pa.Table.from_pandas(frame.sample(frac=1, random_state=0), preserve_index=False)
    task = "regression" if name == "diabetes" else "multiclass"
    if task == "multiclass":
        table = table.set_column(
            table.num_columns - 1, "target", table["target"].cast(pa.int64()).cast(pa.string())
        )
    schema = infer_schema(table, target="target", settings=SchemaSettings())
    found = [each for each in of_rows(schema, table, task) if each.topic != "row numbers"]  # type: ignore[arg-type]
    assert found == []
