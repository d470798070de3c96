"""Files of whole lines, on disks with no room above all."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.serve.observe.line_file import LineFile


def numbered(start: int, count: int) -> bytes:
    return b"".join(b"line %07d of a log\n" % n for n in range(start, start + count))


def test_a_full_disk_tears_no_line(room: Path) -> None:
    file = LineFile(room / "log")
    lost = 0
    for start in range(0, 5000, 100):
        told = file.append(numbered(start, 100))
        if told is not None:
            lost += told.lines
            assert told.reason.errno == errno.ENOSPC
    kept = (room / "log").read_bytes()
    assert lost > 0
    assert kept.endswith(b"\n")
    lines = kept.splitlines()
    assert len(lines) + lost == 5000
    assert all(len(line) == len(b"line 0000000 of a log") for line in lines)
    # It goes on where there is room again.
    (room / "log").write_bytes(kept[: 1024 - 7])
    assert file.append(b"later\n") is None
    assert (room / "log").read_bytes().splitlines()[-1] == b"later"
    file.close()


def test_a_limit_of_the_process_tears_no_line(tmp_path: Path) -> None:
    """Also where no file system may be mounted."""
    path = tmp_path / "log"
    program = f"""
import resource, signal
from pathlib import Path
from rayml.serve.observe.line_file import LineFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
file = LineFile(Path({str(path)!r}))
told = file.append(b"0123456789abcdef\\n" * 100)
print(told.lines, told.reason.errno)
"""
    assert resource.RLIMIT_FSIZE >= 0
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"{100 - 1000 // 17}", f"{errno.EFBIG}"]
    assert path.read_bytes() == b"0123456789abcdef\n" * (1000 // 17)


def test_half_a_line_of_another_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"whole\nha")
    LineFile(path).append(b"next\n")
    assert path.read_bytes() == b"whole\nha\nnext\n"


@given(st.lists(st.lists(st.sampled_from([b"", b"a", b"bcd"]), min_size=1), max_size=8), st.data())
def test_what_is_left_is_whole_lines_whatever_the_room(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[bytes]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    file = LineFile(path)
    left = data.draw(st.integers(0, 40))
    write = os.write
    expected: list[bytes] = []

    def small(descriptor: int, content: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "full")
        count = write(descriptor, content[: min(left, 3)])
        left -= count
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", small)
        for lines in calls:
            told = file.append(b"".join(line + b"\n" for line in lines))
            kept = len(lines) - (0 if told is None else told.lines)
            expected += lines[:kept]
    file.close()
    found = path.read_bytes() if path.exists() else b""
    assert found == b"".join(line + b"\n" for line in expected)


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    told = LineFile(Path("/dev/full")).append(b"a\nb\n")
    assert told is not None
    assert (told.lines, told.reason.errno) == (2, errno.ENOSPC)
    assert LineFile(Path("/dev/null")).append(b"a\n") is None
    (tmp_path / "file").write_text("")
    gone = LineFile(tmp_path / "file" / "log").append(b"a\nb\n")
    assert gone is not None
    assert gone.lines == 2


def test_it_is_bounded_and_several_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files = [LineFile(path, max_bytes=60_000) for _ in range(3)]

    def write(number: int) -> None:
        for turn in range(100):
            assert files[number].append(b"%d-%05d\n" % (number, turn) * 5) is None

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    lines = path.read_bytes().splitlines()
    assert len(lines) == 1500
    assert {len(line) for line in lines} == {7}
    files[0].append(b"x" * 59_000 + b"\n")
    assert Path(f"{path}.1").read_bytes().splitlines() == lines
    files[1].append(b"after\n")
    assert path.read_bytes().endswith(b"x\nafter\n")
