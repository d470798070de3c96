"""Files are written whole or not at all, on a disk that is really full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rayml.errors import StorageError
from rayml.storage import disk
from tests.disks import fill, free


def test_a_write_that_finds_no_room_leaves_the_older_file(small_disk: Path) -> None:
    path = small_disk / "a.json"
    disk.write(path, "old")
    fill(small_disk, leave=4096)
    with pytest.raises(StorageError, match=rf"cannot write {path}: no space left.*Make room"):
        disk.write(path, b"x" * 10_000)
    assert path.read_text() == "old"
    assert sorted(each.name for each in small_disk.iterdir()) == ["a.json", "ballast"]


def test_an_append_is_whole_or_undone_and_goes_on_once_there_is_room(small_disk: Path) -> None:
    path = small_disk / "log"
    with path.open("xb", buffering=0) as file:
        disk.append(file.fileno(), b"first\n", path)
        fill(small_disk, leave=4096)
        with pytest.raises(StorageError, match="no space left"):
            disk.append(file.fileno(), b"x" * 60_000 + b"\n", path)
        assert path.read_bytes() == b"first\n"
        free(small_disk)
        disk.append(file.fileno(), b"second\n", path)
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=f"cannot write {tmp_path / 'file' / 'below'}: not a dir"
    ):
        disk.make_folder(tmp_path / "file" / "below")


def test_what_fails_in_between_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with disk.whole(tmp_path / "a") as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_a_copied_folder_tells_its_first_cause(tmp_path: Path) -> None:
    error = OSError([("a", "b", "[Errno 28] No space left on device: 'b'")])
    told = disk.refused(error, tmp_path / "c")
    assert str(told) == (
        f"cannot write {tmp_path / 'c'}: no space left on device."
        f" Make room on the disk of {tmp_path}"
    )
    assert disk.is_refusal(error)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/a/b"), "cannot write /a/b: no space left"),
        (OSError(30, "Read-only file system", "/a/b"), "cannot write /a/b: read-only file system"),
        (FileNotFoundError(2, "No such file", "/a/b"), None),
        (ValueError("x"), None),
    ],
)
def test_what_a_disk_refuses_is_told_at_the_edge(error: Exception, told: str | None) -> None:
    found = disk.disk_refusal(error)
    assert (found is None) if told is None else str(found).startswith(told)


def test_an_append_that_is_interrupted_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\n")
    true_write, calls = os.write, list[int]()

    def write(file: int, content: memoryview) -> int:
        if calls:
            raise KeyboardInterrupt
        calls.append(file)
        return true_write(file, content[:2])

    with path.open("r+b", buffering=0) as file:
        file.seek(0, os.SEEK_END)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write)
            with pytest.raises(KeyboardInterrupt):
                disk.append(file.fileno(), b"two\n", path)
        disk.append(file.fileno(), b"three\n", path)
    assert path.read_bytes() == b"one\nthree\n"
