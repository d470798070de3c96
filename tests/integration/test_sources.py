"""Sources read by Ray's workers."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.columns.origin import FILE, LINE, MALFORMED
from rayml.data.sources import files
from rayml.data.sources.bundled import BUNDLED, SklearnSource
from rayml.data.sources.files import FileSource
from rayml.data.sources.sources import Source
from rayml.data.sources.sql import SqlSource
from rayml.data.sources.uci import AdultSource, OnlineShoppersSource
from rayml.errors import SourceError

from .postgres import PASSWORD, Postgres, binaries, running

pytestmark = pytest.mark.usefixtures("ray_session")


def table(source: Source) -> pa.Table:
    import ray

    parts = [ray.get(ref) for ref in source.read().to_arrow_refs()]
    return pa.concat_tables(parts).combine_chunks()


# ---------------------------------------------------------------- scikit-learn


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets(name: str) -> None:
    found = table(SklearnSource(name))
    rows = {"breast_cancer": 569, "diabetes": 442, "digits": 1797, "iris": 150, "wine": 178}
    assert len(found) == rows[name]
    classes = set(found["target"].to_pylist())
    if name == "breast_cancer":
        assert classes == {"malignant", "benign"}
    if name == "digits":
        assert classes == set(range(10))
    if name == "diabetes":
        assert pa.types.is_floating(found["target"].type)


# ---------------------------------------------------------------- files


def test_csv_of_several_files_in_hive_folders(tmp_path: Path) -> None:
    for year, text in (("2024", "a,b\n1,x\nonly\n"), ("2025", "b,a\ny,2\n")):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        (folder / "part.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = table(FileSource(str(tmp_path))).sort_by([("year", "ascending"), (LINE, "ascending")])
    assert found.column_names == ["a", "b", FILE, LINE, MALFORMED, "year"]
    assert found.select(["a", "b", "year", LINE]).to_pylist() == [
        {"a": "1", "b": "x", "year": "2024", LINE: 2},
        {"a": None, "b": None, "year": "2024", LINE: 3},
        {"a": "2", "b": "y", "year": "2025", LINE: 2},
    ]
    assert found[MALFORMED].to_pylist() == [None, "1 fields, expected 2: 'only'", None]
    assert found[FILE][2].as_py() == str(tmp_path / "year=2025" / "part.csv.gz")


def test_splits_are_given_by_files(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").write_text(f"x\n{name}\n")
    paths = {"train": [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], "test": f"{tmp_path}/c*"}
    found = table(FileSource(paths)).select(["x", "split"]).sort_by("x").to_pylist()
    assert [tuple(row.values()) for row in found] == [("a", "train"), ("b", "train"), ("c", "test")]


def test_partitions_of_many_digits_stay_text(tmp_path: Path) -> None:
    for key in ("1", "9" * 30):
        (tmp_path / f"k={key}").mkdir()
        (tmp_path / f"k={key}" / "a.csv").write_text("x\n1\n")
    assert sorted(table(FileSource(str(tmp_path)))["k"].to_pylist()) == ["1", "9" * 30]


def test_large_files_are_read_by_a_task_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TASK_BYTES", 10)
    for i in range(3):
        (tmp_path / f"{i}.csv").write_text("a\n" + f"{i}\n" * 10)
    source = FileSource(f"file://{tmp_path}")
    assert source.read().materialize().num_blocks() == 3
    assert sorted(table(source)["a"].to_pylist()) == sorted("012" * 10)


def test_a_csv_without_rows_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    dataset = FileSource(str(tmp_path / "a.csv")).read()
    assert dataset.count() == 0
    assert dataset.schema().names == ["a", "b", FILE, LINE, MALFORMED]


def test_an_empty_csv_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n")
    with pytest.raises(SourceError, match="its columns are not named"):
        FileSource(str(tmp_path)).read()


@pytest.mark.parametrize(
    ("second", "message"),
    [("a,c\n1,2\n", "other columns than the first file"), (None, "cannot be read to its end")],
)
def test_what_a_worker_finds_wrong_names_its_file(
    tmp_path: Path, second: str | None, message: str
) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    if second is None:
        (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 9999)[:-20])
    else:
        (tmp_path / "2.csv").write_text(second)
    with pytest.raises(SourceError, match=message) as caught:
        table(FileSource(str(tmp_path)))
    assert "2.csv" in str(caught.value)


def test_a_column_may_not_be_in_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "a=1").mkdir()
    (tmp_path / "a=1" / "x.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="several columns have the same name"):
        FileSource(str(tmp_path)).read()


def test_parquet_in_hive_folders_has_natural_types(tmp_path: Path) -> None:
    for year in (2024, 2025):
        (tmp_path / f"year={year}").mkdir()
        rows = pa.table({"x": [year / 2], "s": [None if year == 2024 else "t"]})
        pq.write_table(rows, tmp_path / f"year={year}" / "p.parquet")
    found = table(FileSource(str(tmp_path), format="parquet")).sort_by("year")
    assert found.drop_columns([FILE]).to_pylist() == [
        {"x": 1012.0, "s": None, LINE: 1, "year": 2024},
        {"x": 1012.5, "s": "t", LINE: 1, "year": 2025},
    ]


# ---------------------------------------------------------------- published sets


def test_adult(shared_data: Path) -> None:
    found = table(AdultSource(shared_data / "adult", download=False))
    assert len(found) == 48842
    assert found["split"].value_counts().to_pylist() == [
        {"values": "train", "counts": 32561},
        {"values": "test", "counts": 16281},
    ]


def test_online_shoppers(shared_data: Path) -> None:
    found = table(OnlineShoppersSource(shared_data / "online_shoppers", download=False))
    columns = [name for name in found.column_names if name not in {FILE, LINE, MALFORMED}]
    assert (len(found), len(columns)) == (12330, 18)
    assert sum(found[name].null_count for name in columns) == 112
    assert found["Administrative_Duration"].to_pylist().count("-1") == 33
    assert found["Revenue"].to_pylist().count("TRUE") == 1908


def test_california(shared_data: Path) -> None:
    found = table(FileSource(str(shared_data / "california" / "california_housing.csv")))
    assert len(found) == 20640
    assert set(found["split"].to_pylist()) == {"train", "val", "test"}


# ---------------------------------------------------------------- databases

ROWS = [(1, 0.5, "a"), (2, None, "b % :c"), (3, -2.25, None)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    with running(programs) as server:
        yield server


def test_sqlite(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "d.db") as connection:
        connection.execute("CREATE TABLE t (i INTEGER, x REAL, s TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", ROWS)
    connection.close()
    check_rows(table(SqlSource(f"sqlite:///{tmp_path}/d.db", "SELECT * FROM t")))


def test_postgresql_by_the_same_config(postgres: Postgres) -> None:
    execute(postgres, "CREATE TABLE t (i INTEGER, x DOUBLE PRECISION, s TEXT)")
    for row in ROWS:
        execute(postgres, "INSERT INTO t VALUES (%s, %s, %s)", row)
    check_rows(table(SqlSource(postgres.url, "SELECT * FROM t")))


def check_rows(found: pa.Table) -> None:
    assert [str(kind) for kind in found.schema.types] == ["int64", "double", "string", "int64"]
    rows = [tuple(row.values())[:3] for row in found.sort_by("i").to_pylist()]
    assert rows == ROWS


def test_postgresql_types(postgres: Postgres) -> None:
    query = """
        SELECT n, n::numeric / 3 AS dec, n % 2 = 0 AS flag, date '2024-02-29' + n AS day,
            timestamp '2024-01-01 12:00' AS naive,
            timestamptz '2024-01-01 12:00+02' AS aware,
            '00000000-0000-0000-0000-000000000001'::uuid AS id, ':x %s %(y)s' AS text
        FROM generate_series(0, 49999) AS n
    """
    found = table(SqlSource(postgres.url, query)).sort_by("n")
    kinds = {field.name: str(field.type) for field in found.schema}
    assert kinds == {
        "n": "int64",
        "dec": "double",
        "flag": "bool",
        "day": "date32[day]",
        "naive": "timestamp[us, tz=UTC]",
        "aware": "timestamp[us, tz=UTC]",
        "id": "string",
        "text": "string",
        LINE: "int64",
    }
    assert found["n"].to_pylist() == list(range(50000))
    last = found.slice(1, 1).to_pylist()[0]
    assert last["dec"] == 1 / 3
    assert last["naive"].isoformat() == "2024-01-01T12:00:00+00:00"
    assert last["aware"].isoformat() == "2024-01-01T10:00:00+00:00"
    assert last["text"] == ":x %s %(y)s"


def test_postgresql_fingerprint_changes_with_the_rows(postgres: Postgres) -> None:
    execute(postgres, "CREATE TABLE f AS SELECT 1 AS a")
    source = SqlSource(postgres.url, "SELECT * FROM f")
    before = source.fingerprint()
    assert SqlSource(postgres.url, "SELECT * FROM f").fingerprint() == before
    execute(postgres, "INSERT INTO f VALUES (2)")
    assert SqlSource(postgres.url, "SELECT * FROM f").fingerprint() != before
    with pytest.raises(SourceError, match="other rows when it was read again") as caught:
        table(source)
    assert PASSWORD not in str(caught.value)


def test_the_password_is_in_no_message_and_no_log(postgres: Postgres) -> None:
    import ray

    wrong = "Wr0ng-Pa55phrase"
    with pytest.raises(SourceError, match="password authentication failed") as caught:
        SqlSource(postgres.url.replace(PASSWORD, wrong), "SELECT 1").fingerprint()
    assert wrong not in repr(caught.value)
    table(SqlSource(postgres.url, "SELECT 1 AS a"))
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    logs = [path for path in (session / "logs").rglob("*") if path.is_file()]
    assert logs
    for path in logs:
        assert PASSWORD.encode() not in path.read_bytes(), path


def execute(server: Postgres, statement: str, values: tuple[object, ...] | None = None) -> None:
    import psycopg

    with psycopg.connect(server.url) as connection:
        connection.execute(statement, values)
