"""The access log: a line of JSON for each answer."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import to_json

from rayml.serve.answered import Answered

_log = logging.getLogger(__name__)
STDOUT = "stdout"
_LONGEST_PATH = 500


class AccessLog:
    """Writes what was answered, a line each.

    An answer is only put aside; `flush`, called from one thread, makes the lines and appends them
    with one call for whole lines, so that the replicas of a machine may share a file. A file that
    was renamed, as logrotate does, is opened anew. Query strings, headers and bodies are not
    written, since they may hold secrets and personal data.

    Args:
        target: path of the file, or `stdout`.
        replica: its id, which each line names.
    """

    def __init__(self, target: str, *, replica: str) -> None:
        self._path = None if target == STDOUT else Path(target)
        self._replica = replica
        self._file: int | None = None
        self._pending: list[Answered] = []
        self.observe = self._pending.append
        # Turns the clock of the answers into the time of day.
        self._epoch = time.time() - time.perf_counter()

    def flush(self) -> None:
        """Write what was answered since the last time.

        What cannot be written is lost, with a line in the replica's log that says so: a full disk
        must not cost memory without end.
        """
        count = len(self._pending)
        if not count:
            return
        lines = b"".join(self._line(answered) for answered in self._pending[:count])
        del self._pending[:count]
        try:
            self._write(lines)
        except OSError as error:
            _log.error("%d lines of the access log are lost: %s", count, error)

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _line(self, answered: Answered) -> bytes:
        started = datetime.fromtimestamp(self._epoch + answered.started, UTC)
        line = {
            "time": started.isoformat(timespec="milliseconds"),
            "id": answered.id,
            "replica": self._replica,
            "client": answered.client,
            "key": answered.holder,
            "method": answered.method,
            "path": answered.path[:_LONGEST_PATH],
            "route": answered.route,
            "status": answered.status,
            "seconds": round(answered.seconds, 6),
            "model": answered.model,
            "version": answered.version,
            "rows": answered.rows,
            "bytes_in": answered.bytes_in,
            "bytes_out": answered.bytes_out,
        }
        return to_json(line) + b"\n"

    def _write(self, lines: bytes) -> None:
        if self._path is None:
            sys.stdout.write(lines.decode())
            sys.stdout.flush()
            return
        rest = memoryview(lines)
        file = self._opened(self._path)
        while rest:
            rest = rest[os.write(file, rest) :]

    def _opened(self, path: Path) -> int:
        if self._file is not None:
            try:
                if os.path.samestat(os.fstat(self._file), path.stat()):
                    return self._file
            except FileNotFoundError:
                pass  # it was renamed or removed
            os.close(self._file)
            self._file = None
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
        # It tells who asks what, which is not everybody's business.
        self._file = os.open(path, flags, 0o640)
        return self._file
