"""Columns and values of files follow the rules of requests, and what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.delimited.dialect import CsvSettings
from rayml.errors import ConfigError, DataError, RaymlError
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import SchemaSettings
from rayml.stages.rows.row_file import RowFile
from rayml.testing.bundles import untrained_bundle

ROWS = pa.table(
    {
        "price": [1.5, 2.5, None, 9.0] * 10,
        "channel": ["web", "shop", "web", None] * 10,
        "gift": [True, False, None, True] * 10,
        "customer": ["a", "b", "c", "d"] * 10,
        "returned": ["late", "never", "late", "never"] * 10,
    }
)
Predict = Callable[..., tuple[list[dict], list[str]]]


def loaded(folder: Path, csv: CsvSettings | None) -> Predictor:
    settings = SchemaSettings(ignore=("customer",))
    bundle = untrained_bundle(
        folder / "bundle", ROWS, target="returned", task="binary", schema=settings, csv=csv
    )
    return Predictor.load(bundle)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return loaded(tmp_path_factory.mktemp("bundle"), None)


@pytest.fixture
def read(predictor: Predictor, tmp_path: Path) -> Predict:
    """Rows that are made of a file, and what is told of it."""

    def make(name: str, content: str | bytes | pa.Table, of: Predictor = predictor) -> tuple:
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        told: list[str] = []
        tables = list(RowFile(of, path, told.append).tables())
        return [row for table in tables for row in table.to_pylist()], told

    return make


def row(price: float | None = None, channel: str | None = None, gift: bool | None = None) -> dict:
    return {"price": price, "channel": channel, "gift": gift}


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "price,chanel\n1,web\n"),
        ("rows.csv", "price,Channel\n1,web\n"),
        ("rows.json", '[{"price": 1, "chanel": "web"}]'),
        ("rows.jsonl", '{"price": 1}\n{"price": 1, "CHANNEL": "web"}\n'),
        ("rows.parquet", pa.table({"price": [1.0], "chanel": ["web"]})),
    ],
)
def test_an_unknown_column_is_refused_with_the_nearest_name(
    read: Predict, name: str, content: str | pa.Table
) -> None:
    with pytest.raises(DataError, match=rf"{name}.*Did you mean 'channel'\?"):
        read(name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "foo,bar\n1,2\n"),
        ("rows.csv", "returned,customer\nlate,a\n"),
        ("rows.csv", "1;2\n"),
        ("rows.json", '[{"returned": "late"}]'),
        ("rows.json", "[{}]"),
        ("rows.parquet", pa.table({"foo": [1.0], "bar": ["web"]})),
        ("rows.parquet", pa.table({"returned": ["late"]})),
    ],
)
def test_a_file_without_a_known_column_is_refused(
    read: Predict, name: str, content: str | pa.Table
) -> None:
    with pytest.raises(DataError, match=f"{name}.*no column that the model knows.*price, channel"):
        read(name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "price,price\n1,2\n"),
        ("rows.json", '[{"price": 1, "price": 2}]'),
        ("rows.parquet", pa.table([pa.array([1.0])] * 2, names=["price", "price"])),
    ],
)
def test_a_column_stands_once(read: Predict, name: str, content: str | pa.Table) -> None:
    with pytest.raises(DataError, match=r"rows.*price"):
        read(name, content)


def test_an_index_of_pandas_is_left_aside(read: Predict) -> None:
    rows, told = read("rows.csv", ",price\n0,1.5\n")
    assert (rows, told) == (
        [row(1.5)],
        ["rows.csv: ignored columns: 'Unnamed: 0' (an index of pandas)"],
    )
    rows, told = read("rows.parquet", pa.table({"price": [1.5], "__index_level_0__": [7]}))
    assert (rows, len(told)) == ([row(1.5)], 1)


LABELLED = [row(1.5, "web") | {"returned": "late", "customer": "a"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "returned,price,channel,customer\nlate,1.5,web,a\n"),
        ("rows.json", json.dumps(LABELLED)),
        ("rows.parquet", pa.Table.from_pylist(LABELLED)),
    ],
)
def test_columns_of_training_that_are_no_features_are_left_aside(
    read: Predict, name: str, content: str | pa.Table
) -> None:
    rows, told = read(name, content)
    assert rows == [row(1.5, "web")]
    (line,) = told
    assert line.startswith(f"{name}: ignored columns: ")
    assert "'returned' (the target)" in line
    assert "'customer' (ignored in training)" in line


def test_columns_may_be_fewer_and_in_another_order(read: Predict) -> None:
    assert read("rows.csv", "gift,price\ntrue,2\n") == ([row(2.0, None, True)], [])


# ---------------------------------------------------------------- CSV


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("price;channel;gift\n1.5;web;true\n2.5;shop;false\n", "delimiter ';'"),
        ("price\tchannel\tgift\n1.5\tweb\ttrue\n2.5\tshop\tfalse\n", r"delimiter '\t'"),
        ("price|channel|gift\n1.5|web|true\n2.5|shop|false\n", "delimiter '|'"),
        ("price;channel;gift\n1,5;web;true\n2,5;shop;false\n", "delimiter ';', decimal ','"),
        ("price; channel; gift\n1.5; web; true\n2.5; shop; false\n", "delimiter ';', strip True"),
        ("price,channel,gift\n1.5,web,true\n2.5,shop,false\n".encode("utf-16"), "utf-16"),
        ("price,channel,gift\n1.5,web,true\n2.5,shop,false\n".encode("utf-8-sig"), ""),
        ("price,channel,gift\r\n1.5,web,true\r\n\r\n2.5,shop,false", ""),
    ],
)
def test_the_dialect_is_found_and_told(read: Predict, content: str | bytes, told: str) -> None:
    rows, lines = read("rows.csv", content)
    assert rows == [row(1.5, "web", True), row(2.5, "shop", False)]
    assert [told in line for line in lines] == [True] * bool(told)


def test_text_that_is_no_utf8_is_read_as_windows_text(read: Predict) -> None:
    rows, told = read("rows.csv", "channel\ncafé\n".encode("cp1252"))
    assert rows == [row(None, "café")]
    assert "cp1252" in told[0]


TRAINED = CsvSettings(delimiter=";", nulls=("", "?"), decimal=",", encoding="cp1252")


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return loaded(tmp_path_factory.mktemp("german"), TRAINED)


def test_the_dialect_of_training_comes_with_the_model(read: Predict, german: Predictor) -> None:
    content = "price;channel;gift\n1,5;café;?\n?;web;true\n".encode("cp1252")
    rows, told = read("rows.csv", content, german)
    assert rows == [row(1.5, "café"), row(None, "web", True)]
    assert told == []


def test_a_file_that_does_not_fit_it_is_read_as_it_is_written(
    read: Predict, german: Predictor
) -> None:
    rows, told = read("rows.csv", "price,channel\n1.5,café\n?,web\n", german)
    assert rows == [row(1.5, "café"), row(None, "web")]
    (line,) = told
    assert "from the training data, and is read with delimiter ',', encoding 'utf-8'" in line


def test_files_without_a_header_take_the_names_of_training(read: Predict, tmp_path: Path) -> None:
    named = loaded(tmp_path, CsvSettings(columns=("price", "channel", "returned")))
    assert read("rows.csv", "1.5,web,late\n", named)[0] == [row(1.5, "web")]
    rows, told = read("rows.csv", "channel,price\nweb,1.5\n", named)
    assert rows == [row(1.5, "web")]
    assert "a header" in told[0]
    with pytest.raises(DataError, match="no column that the model knows"):
        read("rows.csv", "1.5,web\n", named)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("rows.csv", "price,channel\n1.5,web\n\ndear,web\n", "rows.csv, line 4, column 'price'"),
        ("rows.csv", "price,gift\n1.5,2\n", "rows.csv, line 2, column 'gift'"),
        ("rows.csv", "price,channel\n1.5,web\n2.5,web,extra\n", "rows.csv, line 3: 3 fields"),
        ("rows.csv", "price\n1\ninf\n", "rows.csv, line 3, column 'price'"),
        ("rows.json", '[{"price": 1},\n {"price": "1"}]', "line 2, row 2, column 'price'"),
        ("rows.jsonl", '{"price": 1}\n\n{"price": true}\n', "line 3, row 2, column 'price'"),
        ("rows.json", '[{"price": 1},\n {"price": }]', "line 2: this is not JSON"),
        ("rows.json", '[{"price": 1}', "']' is missing"),
        ("rows.json", '{"price": 1}, 5', "line 1: this is not JSON"),
        ("rows.json", '[{"price": 1}] 5', "text follows"),
        ("rows.json", b'[{"channel": "\xff"}]', "UTF-8"),
        ("rows.json", "[1]", "line 1, row 1"),
        ("rows.parquet", pa.table({"price": [1.0, float("inf")]}), "row 2, column 'price'"),
        ("rows.parquet", pa.table({"price": ["1"]}), "column 'price': its type is string"),
        ("rows.parquet", pa.table({"price": [True]}), "column 'price': its type is bool"),
        ("rows.parquet", pa.table({"channel": [1.5]}), "row 1, column 'channel'"),
    ],
)
def test_what_does_not_fit_is_named(
    read: Predict, name: str, content: str | bytes | pa.Table, place: str
) -> None:
    with pytest.raises(DataError, match=rf"(?s){name}.*") as caught:
        read(name, content)
    assert place in str(caught.value)


def test_rows_are_counted_over_all_parts_of_a_file(predictor: Predictor, tmp_path: Path) -> None:
    values = [1.0] * 20_000
    values[12_344] = float("inf")
    pq.write_table(pa.table({"price": values}), tmp_path / "rows.parquet", row_group_size=5000)
    with pytest.raises(DataError, match="row 12345, column 'price'"):
        list(RowFile(predictor, tmp_path / "rows.parquet", print).tables())


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"", "rows.csv is empty"),
        ("rows.csv", b"\n\n", "rows.csv is empty"),
        ("rows.parquet", b"", "rows.parquet cannot be read"),
        ("rows.parquet", b"PAR1 no PAR1", "rows.parquet cannot be read"),
        ("rows.arrow", b"ARROW1 no", "rows.arrow cannot be read"),
        ("rows.csv.gz", b"price\n1\n", "rows.csv.gz cannot be read"),
        ("rows.xlsx", b"", "belongs to no format of rows"),
        ("rows", b"price\n1\n", "belongs to no format of rows"),
    ],
)
def test_a_file_that_is_none_is_refused(
    read: Predict, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(RaymlError, match=message):
        read(name, content)


def test_a_missing_file_and_a_folder_are_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file not found: .*absent\.csv"):
        RowFile(predictor, tmp_path / "absent.csv", print)
    with pytest.raises(ConfigError, match="is a folder"):
        RowFile(predictor, tmp_path, print)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "price,channel\n"),
        ("rows.json", "[]"),
        ("rows.json", ""),
        ("rows.json", '{"rows": []}'),
        ("rows.parquet", pa.table({"price": pa.array([], pa.float64())})),
    ],
)
def test_a_file_without_rows_says_so(read: Predict, name: str, content: str | pa.Table) -> None:
    assert read(name, content) == ([], [f"{name} has no rows"])
