from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from rayml.data.delimited import csv_reader
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.sources import files
from rayml.data.sources.files import FileSource
from rayml.data.sources.sources import CsvSource
from rayml.errors import InvalidConfigError, SourceError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    return path


def test_fingerprint_is_of_the_content(path: Path, tmp_path: Path) -> None:
    before = FileSource(str(path)).fingerprint()
    os.utime(path, (0, 0))
    other = tmp_path / "moved.csv"
    other.write_bytes(path.read_bytes())
    assert FileSource(str(path)).fingerprint() == before
    assert FileSource(str(other)).fingerprint() == before
    path.write_text("a,b\n1,3\n")
    os.utime(path, (0, 0))
    assert FileSource(str(path)).fingerprint() != before


def test_fingerprint_of_large_files_is_of_size_and_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HASHED_BYTES", 1)
    os.utime(path, (1, 1))
    before = FileSource(str(path)).fingerprint()
    assert FileSource(str(path)).fingerprint() == before
    os.utime(path, (2, 2))
    assert FileSource(str(path)).fingerprint() != before


def test_fingerprint_changes_with_how_files_are_read(path: Path) -> None:
    plain = FileSource(str(path)).fingerprint()
    assert FileSource(str(path), csv={"delimiter": ";"}).fingerprint() != plain
    assert FileSource(str(path), csv=CsvSettings()).fingerprint() == plain
    assert FileSource(str(path), csv={"decimal": ","}).fingerprint() != plain


def test_the_dialect_is_that_of_csv_files(path: Path) -> None:
    source = FileSource(str(path), csv={"delimiter": ";"})
    assert isinstance(source, CsvSource)
    assert source.dialect == CsvSettings(delimiter=";")
    assert FileSource(str(path), format="parquet").dialect is None


def test_the_fingerprint_stays_that_of_before_decimals_could_be_set(path: Path) -> None:
    settings = dataclasses.asdict(CsvSettings())
    del settings["decimal"]
    files = [[[], [hashlib.sha256(path.read_bytes()).hexdigest()]]]
    told = json.dumps(["csv", settings, files], ensure_ascii=False)
    assert FileSource(str(path)).fingerprint() == hashlib.sha256(told.encode()).hexdigest()


def test_fingerprint_changes_with_partitions(tmp_path: Path) -> None:
    for name in ("x/year=1", "y/year=2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.csv").write_text("a\n1\n")
    prints = {FileSource(str(tmp_path / name)).fingerprint() for name in "xy"}
    assert len(prints) == 2


def test_fingerprint_of_a_compressed_file_is_of_its_own_bytes(tmp_path: Path) -> None:
    path = tmp_path / "torn.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n")[:-4])
    assert FileSource(str(path)).fingerprint()


def test_wrong_settings_are_named_with_their_key(path: Path) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        FileSource(str(path), csv={"delimiter": "ab", "skip_lines": -1, "sep": ","})
    assert len(caught.value.problems) == 3
    assert any(p.startswith("data.source.csv.delimiter: ") for p in caught.value.problems)
    with pytest.raises(InvalidConfigError, match="csv or parquet"):
        FileSource(str(path), format="xlsx")


def test_a_file_cannot_be_of_two_splits(path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.csv is named for several splits"):
        FileSource({"train": str(path), "test": [str(path.parent / "*.csv")]}).fingerprint()


def test_the_index_of_a_pandas_table_is_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}, index=[5, 9])
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.rename_axis("patient").to_parquet(tmp_path / "named.parquet")
    frame.reset_index(drop=True).to_parquet(tmp_path / "none.parquet")
    told = {
        name: FileSource(str(tmp_path / f"{name}.parquet"), format="parquet").index_columns
        for name in ("plain", "named", "none")
    }
    assert told == {"plain": ("__index_level_0__",), "named": ("patient",), "none": ()}


def test_the_index_that_pandas_writes_to_csv_has_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    frame.to_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open("rb") as stream:
        assert csv_reader.read_header(stream, CsvSettings()) == ("Unnamed: 0", "x", "y")
