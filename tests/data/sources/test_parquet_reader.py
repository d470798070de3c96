from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.columns.origin import FILE, LINE
from rayml.data.sources import parquet_reader
from rayml.data.sources.location import find_files
from rayml.errors import SourceError


def write(folder: Path, **tables: pa.Table) -> tuple:
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=10)
    return find_files(str(folder), "parquet")


def test_rows_come_with_their_numbers_from_several_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_reader, "PIECE_BYTES", 1)
    found = write(tmp_path, t=pa.table({"x": range(25)}))
    schema, pieces = parquet_reader.plan(found)
    assert [piece.groups for piece in pieces] == [(0,), (1,), (2,)]
    rows = [r for p in pieces for t in parquet_reader.read_tables(p, schema) for r in t.to_pylist()]
    assert [row["x"] for row in rows] == list(range(25))
    assert [row[LINE] for row in rows] == list(range(1, 26))
    assert {row[FILE] for row in rows} == {found[0].path}


def test_one_schema_holds_all_files(tmp_path: Path) -> None:
    found = write(
        tmp_path,
        a=pa.table({"x": [1], "s": pa.array(["u"]).dictionary_encode()}),
        b=pa.table({"s": pa.array([None], pa.null()), "x": [0.5]}),
    )
    schema, pieces = parquet_reader.plan(found)
    assert schema == pa.schema([("x", pa.float64()), ("s", pa.string())])
    tables = [t for piece in pieces for t in parquet_reader.read_tables(piece, schema)]
    assert pa.concat_tables(tables).select(["x", "s"]).to_pylist() == [
        {"x": 1.0, "s": "u"},
        {"x": 0.5, "s": None},
    ]


@pytest.mark.parametrize("other", [{"y": [1]}, {"x": ["text"]}])
def test_files_that_disagree_are_an_error_that_names_one(tmp_path: Path, other: dict) -> None:
    found = write(tmp_path, a=pa.table({"x": [1]}), b=pa.table(other))
    with pytest.raises(SourceError, match="b\\.parquet"):
        parquet_reader.plan(found)


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("not at all")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        parquet_reader.plan(find_files(str(tmp_path), "parquet"))


class Opened:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return Path.touch, (self.file,)


def test_what_a_file_calls_an_object_is_not_unpickled(tmp_path: Path) -> None:
    """Ray registers a type of Arrow's whose values are pickles, and a file may say it is of it."""
    from ray.data._internal.object_extensions.arrow import ArrowPythonObjectType

    stored = pa.array([pickle.dumps(Opened(tmp_path / "opened"))], pa.large_binary())
    objects = pa.ExtensionArray.from_storage(ArrowPythonObjectType(), stored)
    offsets = pa.array([0, 1], pa.int32())
    table = pa.table(
        {
            "plain": objects,
            "list": pa.ListArray.from_arrays(offsets, objects),
            "large": pa.LargeListArray.from_arrays(offsets.cast(pa.int64()), objects),
            "fixed": pa.FixedSizeListArray.from_arrays(objects, 1),
            "struct": pa.StructArray.from_arrays([objects], ["x"]),
            "map": pa.MapArray.from_arrays(offsets, pa.array(["k"]), objects),
            "deep": pa.StructArray.from_arrays([pa.ListArray.from_arrays(offsets, objects)], ["x"]),
        }
    )
    found = write(tmp_path, t=table)
    assert "pickled_object" in str(pq.read_schema(tmp_path / "t.parquet"))
    schema, [piece] = parquet_reader.plan(found)
    [read] = parquet_reader.read_tables(piece, schema)
    [row] = read.to_pylist()
    assert row["plain"] == row["list"][0] == row["deep"]["x"][0] == stored[0].as_py()
    assert not (tmp_path / "opened").exists()
