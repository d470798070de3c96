"""The labelled rows that have counted, so that none counts twice.

All replicas of a model share one file beside its release, so that a row counts once whichever
replica it is sent to; each reads what the others added before it adds its own. The file has room
for `MOST` marks of 16 bytes; when it is full, the older half is forgotten, so that memory is
bounded and only a row that many others came after can count again.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from rayml.errors import StorageError
from rayml.registry.lock import locked
from rayml.serve.release.status import read_statuses

FILE = "feedback.counted"
MOST = 131_072
_BYTES = 16
_CHUNK = 65_536 * _BYTES


def mark(*parts: str) -> bytes:
    """The mark of a row in the file: a hash of the texts that identify it."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_BYTES).digest()


class CountedRows:
    """The marks of the rows that have counted; several threads and processes may ask.

    Args:
        model: folder of the model in the registry, which must exist.
        most: marks at most.
    """

    def __init__(self, model: Path, *, most: int = MOST) -> None:
        self._path = model / FILE
        self._lock_path = model / f".{FILE}.lock"
        self._most = most
        self._lock = threading.Lock()
        self._marks: dict[bytes, None] = {}
        self._inode = -1
        self._read = 0

    def claim(self, marks: Sequence[bytes]) -> list[bool]:
        """Store marks, and give which of them are new; of equal marks only the first is.

        Raises:
            OSError, StorageError: the file cannot be written; then no mark is stored.
        """
        with self._lock, locked(self._lock_path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._catch_up(descriptor)
                new = [each not in self._marks for each in marks]
                fresh = {each: None for each, is_new in zip(marks, new, strict=True) if is_new}
                _append(descriptor, b"".join(fresh))
                self._marks |= fresh
                self._read += len(fresh) * _BYTES
            finally:
                os.close(descriptor)
            if len(self._marks) > self._most:
                self._forget()
        return _firsts(marks, fresh)

    def _catch_up(self, descriptor: int) -> None:
        """Read the marks that others added, or all of a new file."""
        status = os.fstat(descriptor)
        whole = status.st_size - status.st_size % _BYTES
        if status.st_ino != self._inode or whole < self._read:
            self._marks, self._inode, self._read = {}, status.st_ino, 0
        if whole < status.st_size:
            # A process was killed while it wrote.
            os.ftruncate(descriptor, whole)
        while self._read < whole:
            data = os.pread(descriptor, min(whole - self._read, _CHUNK), self._read)
            self._read += len(data)
            found = (data[start : start + _BYTES] for start in range(0, len(data), _BYTES))
            self._marks |= dict.fromkeys(found)

    def _forget(self) -> None:
        """Keep the younger half, in a new file, which others recognise by its inode."""
        kept = list(self._marks)[-self._most // 2 :]
        draft = self._path.with_suffix(".part")
        try:
            draft.write_bytes(b"".join(kept))
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            return  # it is tried again with the next rows
        self._marks, self._inode = dict.fromkeys(kept), self._path.stat().st_ino
        self._read = len(kept) * _BYTES


def begin_counting(model: Path) -> None:
    """Forget all marks of a model that no replica serves: its counters begin at 0 too.

    Args:
        model: folder of the model in the registry.
    """
    if not read_statuses(model):
        with suppress(OSError, StorageError), locked(model / f".{FILE}.lock"):
            (model / FILE).unlink(missing_ok=True)


def _append(descriptor: int, data: bytes) -> None:
    """Append all of it or nothing."""
    size = os.fstat(descriptor).st_size
    if data and os.write(descriptor, data) < len(data):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _firsts(marks: Sequence[bytes], fresh: dict[bytes, None]) -> list[bool]:
    left = dict(fresh)
    return [left.pop(each, 0) is None for each in marks]
