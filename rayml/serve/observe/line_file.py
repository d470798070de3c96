"""A file of lines that several processes append to, whole lines only.

A write that the disk has no room for leaves half a line, which the next write would continue. Here
the half line is cut off again, under a lock that every writer holds while it writes, so that no
other line is touched.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# It shows who asks for what, so not every user may read it.
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Lost:
    """Lines that could not be written, and why."""

    lines: int
    reason: OSError


class LineFile:
    """Appends lines to a file, which is opened anew once it was renamed or removed.

    Args:
        path: of the file; its folder is made with the first lines.
        max_bytes: a larger file is renamed to `NAME.1`, over the one before; None lets it grow,
            for logrotate to deal with.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file: int | None = None

    def append(self, lines: bytes) -> Lost | None:
        """Append lines, each with its end.

        Returns:
            What could not be written; the whole lines before it were.
        """
        try:
            with self._locked(len(lines)) as file:
                written, reason = _write(file, lines)
        except OSError as error:
            written, reason = 0, error
        return None if reason is None else Lost(lines[written:].count(b"\n"), reason)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _locked(self, size: int) -> Iterator[int]:
        """The file, locked, with room for so many bytes."""
        while True:
            file = self._opened()
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if not self._is_there(file):
                    continue  # another process has just renamed it
                if self._is_full(file, size):
                    self.path.replace(f"{self.path}.1")
                    continue
                yield file
                return
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _opened(self) -> int:
        if self._file is not None and self._is_there(self._file):
            return self._file
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_APPEND | os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        self._file = os.open(self.path, flags, _MODE)
        return self._file

    def _is_there(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    def _is_full(self, file: int, size: int) -> bool:
        held = os.fstat(file).st_size
        return self._max_bytes is not None and held > 0 and held + size > self._max_bytes


def _write(file: int, lines: bytes) -> tuple[int, OSError | None]:
    """Write as many whole lines as there is room for; give their bytes, and the error."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        return _pass_on(file, lines)
    size = status.st_size
    # A killed process or another program may have left half a line, which is ended.
    end = b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b""
    written, reason = _pass_on(file, end + lines)
    if reason is None:
        return len(lines), None
    whole = (end + lines).rfind(b"\n", 0, written) + 1
    os.ftruncate(file, size + whole)
    return max(whole - len(end), 0), reason


def _pass_on(file: int, data: bytes) -> tuple[int, OSError | None]:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError as error:
        return len(data) - len(rest), error
    return len(data), None
