"""Files are read whole, or refused before their size is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rayml.storage.bounded import TooLargeError, read_bounded


@pytest.mark.parametrize("size", [0, 1, 10])
def test_what_fits_is_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert read_bounded(path, 10) == b"x" * size


def test_what_is_larger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as out:
        out.truncate(1 << 40)
    with pytest.raises(TooLargeError, match=r"1,099,511,627,776 bytes, more than 10"):
        read_bounded(path, 10)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(OSError, match=path.name):
            read_bounded(path, 10)
