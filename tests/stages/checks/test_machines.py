"""What is asked of each machine before a cluster is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.stages.checks.machines import _local_files, _look


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("/data/a.csv", ["/data/a.csv"]),
        (["/data/a.csv", "s3://bucket/b.csv"], ["/data/a.csv"]),
        ({"train": "/a.csv", "test": ["/b.csv", "https://c.csv"]}, ["/a.csv", "/b.csv"]),
        ((), []),
    ],
)
def test_the_files_of_a_source_are_those_of_a_file_system(
    paths: object, expected: list[str]
) -> None:
    assert _local_files({"_target_": "x.Y", "paths": paths}) == expected


def test_a_relative_path_is_that_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _local_files({"paths": "a/*.csv"}) == [str(tmp_path / "a" / "*.csv")]
    assert _local_files({}) == []


def test_a_machine_tells_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "a.csv").write_text("")
    good, other = str(tmp_path / "token"), str(tmp_path / "other" / "token")
    assert _look({"paths.sweeps": good}, [str(tmp_path / "*.csv")], "t") == []
    assert _look({"paths.sweeps": good}, [], "of another folder") == [
        f"paths.sweeps: {tmp_path} is absent or another folder"
    ]
    assert _look({"paths.sweeps": other}, [str(tmp_path / "b.csv")], "t") == [
        f"paths.sweeps: {tmp_path / 'other'} is absent or another folder",
        f"data.source.paths: {tmp_path / 'b.csv'} is absent",
    ]
