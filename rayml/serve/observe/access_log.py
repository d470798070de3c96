"""The access log: a line of JSON for each answer."""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import to_json

from rayml.serve.http.request_record import RequestRecord
from rayml.serve.observe.line_file import LineFile, Lost
from rayml.settings.serve import ServeSettings

_log = logging.getLogger(__name__)
STDOUT = "stdout"
_LONGEST_PATH = 500


class AccessLog:
    """Writes a line for each answered request.

    A record is only put aside; `flush`, called from one thread, makes the lines and appends them.
    Query strings, headers and bodies are not written, since they may hold secrets and personal
    data.

    Args:
        file: that the replicas of a machine may share; None writes to standard output.
        replica: its id, which each line names.

    Attributes:
        lost: lines that could not be written so far.
    """

    def __init__(self, file: LineFile | None, *, replica: str) -> None:
        self._file = file
        self._replica = replica
        self._pending: list[RequestRecord] = []
        self.observe = self._pending.append
        self.lost = 0
        self._fails = False
        # Turns the clock of the answers into the time of day.
        self._epoch = time.time() - time.perf_counter()

    def flush(self) -> None:
        """Write the requests that were answered since the last time.

        Lines that cannot be written are lost and counted, with a line in the replica's log when
        that begins and when it ends: a full disk must not cost memory without end.
        """
        count = len(self._pending)
        if not count:
            return
        lines = b"".join(self._line(record) for record in self._pending[:count])
        del self._pending[:count]
        lost = self._write(lines)
        if lost is not None:
            self.lost += lost.lines
        if (lost is not None) != self._fails:
            self._fails = lost is not None
            self._report(lost)

    def close(self) -> None:
        """Write the last lines, and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _report(self, lost: Lost | None) -> None:
        if lost is None:
            _log.warning("the access log is written again; %d lines of it are lost", self.lost)
        else:
            reason = lost.reason.strerror
            _log.error("%d lines of the access log are lost: %s", lost.lines, reason)

    def _write(self, lines: bytes) -> Lost | None:
        if self._file is not None:
            return self._file.append(lines)
        sys.stdout.write(lines.decode())
        sys.stdout.flush()
        return None

    def _line(self, record: RequestRecord) -> bytes:
        started = datetime.fromtimestamp(self._epoch + record.started, UTC)
        line = {
            "time": started.isoformat(timespec="milliseconds"),
            "id": record.id,
            "replica": self._replica,
            "client": record.client,
            "key": record.holder,
            "method": record.method,
            "path": record.path[:_LONGEST_PATH],
            "route": record.route,
            "status": record.status,
            "seconds": round(record.seconds, 6),
            "model": record.model,
            "version": record.version,
            "rows": record.rows,
            "bytes_in": record.bytes_in,
            "bytes_out": record.bytes_out,
        }
        return to_json(line) + b"\n"


def make_access_log(settings: ServeSettings, replica: str) -> AccessLog | None:
    """The access log of a replica; None where the settings name none.

    Lines for `stdout` go to a file beside the log of the replicas, which the process on the
    terminal shows.
    """
    if settings.access_log is None:
        return None
    if settings.access_log != STDOUT:
        return AccessLog(LineFile(Path(settings.access_log)), replica=replica)
    if settings.log.file is None:
        return AccessLog(None, replica=replica)
    passed_on = LineFile(on_its_way(Path(settings.log.file)), max_bytes=settings.log.max_bytes)
    return AccessLog(passed_on, replica=replica)


def on_its_way(log: Path) -> Path:
    """The file of lines for standard output, beside a log of replicas."""
    return log.with_name(f"{log.stem}-access.jsonl")
