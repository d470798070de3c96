from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.data.columns.origin import LINE
from rayml.data.sources import sql
from rayml.data.sources.sql import SqlSource
from rayml.errors import SourceError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "d.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (n, x, s, mixed, void)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
            [(1, 1, "a:b", 1, None), (2, 0.5, None, "%s", None), (None, None, "c", 2.5, None)],
        )
    connection.close()
    return path


def source(path: Path, query: str = "SELECT * FROM t") -> SqlSource:
    return SqlSource(f"sqlite:///{path}", query)


def rows(one: SqlSource) -> pa.Table:
    """What a worker reads."""
    return pa.concat_tables(sql._read(one._url, one._query, one._content))


def test_types_hold_every_value_of_a_column(database: Path) -> None:
    table = rows(source(database))
    assert table.schema == pa.schema(
        [
            ("n", pa.int64()),
            ("x", pa.float64()),
            ("s", pa.string()),
            ("mixed", pa.string()),
            ("void", pa.null()),
            (LINE, pa.int64()),
        ]
    )
    assert table.to_pydict() == {
        "n": [1, 2, None],
        "x": [1.0, 0.5, None],
        "s": ["a:b", None, "c"],
        "mixed": ["1", "%s", "2.5"],
        "void": [None] * 3,
        LINE: [1, 2, 3],
    }


def test_chunks_agree_on_types(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(source(database))
    monkeypatch.setattr(sql, "CHUNK_ROWS", 1)
    assert rows(source(database)).combine_chunks() == whole


def test_a_query_is_the_databases_own(database: Path) -> None:
    table = rows(source(database, "SELECT n FROM t WHERE s = 'a:b' OR s LIKE '%c'"))
    assert table["n"].to_pylist() == [1, None]


def test_fingerprint_is_of_the_rows_in_any_order(database: Path) -> None:
    before = source(database).fingerprint()
    assert source(database).fingerprint() == before
    up, down = (sql._Digest(), sql._Digest())
    up.add([(1, "a"), (2, "b")])
    down.add([(2, "b")])
    down.add([(1, "a")])
    assert up.hex() == down.hex()
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE t SET x = 0.25 WHERE n = 2")
    connection.close()
    assert source(database).fingerprint() != before


def test_rows_that_changed_since_the_fingerprint_are_an_error(database: Path) -> None:
    for change in ("UPDATE t SET n = 7 WHERE n = 1", "UPDATE t SET n = 'text'", "DELETE FROM t"):
        one = source(database)
        one.fingerprint()
        with sqlite3.connect(database) as connection:
            connection.execute(change)
        connection.close()
        with pytest.raises(SourceError, match="other rows when it was read again"):
            rows(one)
        if change.startswith("DELETE"):
            return


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM absent", "no such table"),
        ("SELECT * FROM t WHERE n > 9", "gives (no )?rows"),
        ("DELETE FROM t", "Write a SELECT"),
        ("SELECT x'00' AS b", "CAST it in the query"),
        ("SELECT 1 AS a, 2 AS a", "the same name"),
    ],
)
def test_wrong_queries_are_errors(database: Path, query: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source(database, query).fingerprint()
    assert rows(source(database))["n"].length() == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a URL of SQLAlchemy"),
        ("sqlite://", "workers cannot open it"),
        ("sqlite:///absent.db", "there is no SQLite database"),
    ],
)
def test_wrong_urls_are_errors(url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        SqlSource(url, "SELECT 1")


def test_an_absent_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        source(tmp_path / "absent.db")
    assert list(tmp_path.iterdir()) == []


def test_an_absent_driver_is_named() -> None:
    with pytest.raises(SourceError, match="driver"):
        SqlSource("mysql+pymysql://u:hunter2@h/d", "SELECT 1").fingerprint()


def test_a_relative_path_means_the_drivers_folder(
    database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(database.parent)
    one = SqlSource("sqlite:///d.db", "SELECT n FROM t")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(rows(one)) == 3


def test_secrets_stay_out_of_messages() -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/d?sslpassword=s3cret&connect_timeout=1"
    one = SqlSource(url, "SELECT 1")
    with pytest.raises(SourceError) as caught:
        one.fingerprint()
    shown = f"{caught.value!r} {one!r} {vars(one)}"
    assert "127.0.0.1:1/d" in str(caught.value)
    assert "hunter2" not in shown
    assert caught.value.__cause__ is None
    assert sql._without_secrets("a hunter2 s3cret", one._url) == "a *** ***"
    assert b"hunter2" in pickle.dumps(one._url)  # what a worker needs
