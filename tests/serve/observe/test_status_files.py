"""What processes tell in the files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rayml.serve.observe.status_files import StatusFiles


def age(path: Path, seconds: float) -> None:
    written = path.stat().st_mtime
    os.utime(path, (written - seconds, written - seconds))


def test_each_process_reads_what_all_have_told_last(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir(parents=True)
    one, two = StatusFiles(folder, "one"), StatusFiles(folder, "two")
    one.write(b"1")
    assert one.read() == [b"1"]
    two.write(b"2")
    one.write(b"one")
    assert one.read() == two.read() == [b"one", b"2"]
    two.remove()
    two.remove()
    assert one.read() == [b"one"]


def test_a_process_that_was_killed_counts_no_more(tmp_path: Path) -> None:
    killed, alive = StatusFiles(tmp_path, "killed"), StatusFiles(tmp_path, "alive")
    killed.write(b"killed")
    alive.write(b"alive")
    age(tmp_path / "killed.json", 60)
    assert alive.read() == [b"alive"]
    # It may have been asleep only.
    assert (tmp_path / "killed.json").exists()
    age(tmp_path / "killed.json", 3600)
    assert alive.read() == [b"alive"]
    assert not (tmp_path / "killed.json").exists()


def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = StatusFiles(tmp_path, "one")
    files.write(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            files.write(b"new")
    assert files.read() == [b"old"]
    assert list(tmp_path.iterdir()) == [tmp_path / "one.json"]


def test_a_folder_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    files = StatusFiles(tmp_path / "registry/boxes/replicas", "one")
    with pytest.raises(FileNotFoundError):
        files.write(b"told")
    assert files.read() == []
    files.remove()
    assert list(tmp_path.iterdir()) == []
