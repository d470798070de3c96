"""Shows what is appended to files, such as the log of replicas, where an endpoint was started.

A file outlives the process that shows it: the next process on the terminal goes on with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PERIOD_S = 0.1
_CHUNK = 2**20


class FollowedFile:
    """Reads lines that are appended to a file from now on, also once it was renamed and begun anew.

    Args:
        path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file: IO[bytes] | None = self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> bytes:
        """Whole lines that were appended since the last time."""
        data = self._read()
        if self._is_another():
            # What was appended before it was renamed.
            data += self._read()
            self.close()
            self._file = self._open()
            data += self._read()
        lines, end, self._rest = (self._rest + data).rpartition(b"\n")
        return lines + end

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes] | None:
        try:
            return self._path.open("rb", buffering=0)
        except OSError:
            return None

    def _read(self) -> bytes:
        file = self._file
        if file is None:
            return b""
        size = os.fstat(file.fileno()).st_size
        if size < file.tell():  # lines that could not be written whole were taken back
            file.seek(size)
            self._rest = b""
        return b"".join(iter(lambda: file.read(_CHUNK), b""))

    def _is_another(self) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return False
        return self._file is None or not os.path.samestat(now, os.fstat(self._file.fileno()))


@contextmanager
def shown(files: Mapping[Path, IO[bytes]]) -> Iterator[None]:
    """Show what is appended to files while the context lasts.

    Args:
        files: each with the stream that it is shown on.
    """
    followed = [(FollowedFile(path), stream) for path, stream in files.items()]
    ended = threading.Event()

    def show() -> None:
        for file, stream in followed:
            # The stream is closed, or the file cannot be read now; it keeps the lines.
            with suppress(OSError, ValueError):
                if lines := file.read():
                    stream.write(lines)
                    stream.flush()

    def follow() -> None:
        while not ended.wait(_PERIOD_S):
            show()
        show()

    thread = threading.Thread(target=follow, name="log of the replicas", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for file, _ in followed:
            file.close()
