"""The log of a replica: to a file, which the process on the terminal shows, and to Ray's folder.

Ray Serve sends the standard output and error of a replica to a logger of its own, whose level drops
most of it, and rayml's lines reach no handler. Here all of it becomes records of Python's logging:
rayml's own, warnings and errors of other libraries, standard output and standard error.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic_core import to_json

from rayml.serve.observe.line_file import LineFile, Lost
from rayml.settings.serve import LogSettings

_SERVE = "ray.serve"
_PRINTED = {"stdout": logging.INFO, "stderr": logging.WARNING}
_LONGEST = 64 * 1024


class LineHandler(logging.Handler):
    """Appends records to a file, one after the other.

    Args:
        file: of lines; all replicas may share it.
        replica: its id, which each record names.
        form: of the lines; a text has its traceback below it, JSON has it in the line.
    """

    def __init__(self, file: LineFile, *, replica: str, form: Literal["text", "json"]) -> None:
        super().__init__()
        self._file = file
        self._replica = replica
        self._form = form
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be written is counted, and the next one reports it."""
        try:
            lines = self._lines(record)
        except Exception:  # noqa: BLE001 (logging must not fail the caller)
            lines = self._written(record, "a line of the log cannot be formatted", "")
        if self._lost:
            text = f"{self._lost} lines of this log are lost"
            lines = self._written(record, text, "") + lines
        lost: Lost | None = self._file.append(lines)
        self._lost = 0 if lost is None else self._lost + 1

    def _lines(self, record: logging.LogRecord) -> bytes:
        shown = record.exc_info and record.exc_info[0] is not None
        trace = "".join(traceback.format_exception(*record.exc_info)) if shown else ""  # type: ignore[misc]
        return self._written(record, record.getMessage(), trace)

    def _written(self, record: logging.LogRecord, message: str, trace: str) -> bytes:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message, trace = message[:_LONGEST], trace[-_LONGEST:]
        if self._form == "json":
            line = {
                "time": when,
                "level": record.levelname.lower(),
                "replica": self._replica,
                "logger": record.name,
                "message": message,
                **({"request": found} if (found := getattr(record, "request", None)) else {}),
                **({"exception": trace} if trace else {}),
            }
            return to_json(line) + b"\n"
        head = f"{when} {record.levelname} {self._replica} {record.name}: {message}"
        text = f"{head}\n{trace.rstrip()}" if trace else head
        return text.encode("utf-8", "backslashreplace") + b"\n"


class _ToServe(logging.Handler):
    """Hands records to the handlers of Serve's logger, whose file lies in Ray's folder of logs."""

    def emit(self, record: logging.LogRecord) -> None:
        for handler in logging.getLogger(_SERVE).handlers:
            if not isinstance(handler, LineHandler):
                handler.handle(record)


class Printed:
    """A stream whose lines become records, in place of Serve's own.

    Args:
        name: `stdout` or `stderr`.
        stream: that it replaces.
    """

    def __init__(self, name: Literal["stdout", "stderr"], stream: TextIO) -> None:
        self._logger = logging.getLogger(name)
        self._level = _PRINTED[name]
        self._stream = stream
        self._rest = ""
        # A handler that prints would log its own output without end.
        self._busy = threading.local()

    def __getattr__(self, name: str) -> Any:
        """All other attributes of the stream."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write; each line is logged when it ends."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log_line(line)
        if len(self._rest) > _LONGEST:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Log a line that has not ended yet."""
        rest, self._rest = self._rest, ""
        self._log_line(rest)

    def isatty(self) -> bool:
        """No terminal is there."""
        return False

    def _log_line(self, line: str) -> None:
        if not line.strip() or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._logger.log(self._level, "%s", line.rstrip())
        finally:
            self._busy.now = False


def start_log(settings: LogSettings, replica: str) -> None:
    """Send all output of this process, a replica, to the file and to Ray's folder.

    Args:
        settings: of the log; without a file only Ray's folder has it.
        replica: its id.
    """
    level = getattr(logging, settings.level.upper())
    handlers: list[logging.Handler] = [_ToServe()]
    if settings.file is not None:
        file = LineFile(Path(settings.file), max_bytes=settings.max_bytes)
        handlers.append(LineHandler(file, replica=replica, form=settings.format))
        # Serve itself logs errors alone, which belong on the terminal too.
        logging.getLogger(_SERVE).addHandler(handlers[-1])
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    logging.getLogger("rayml").setLevel(level)
    for name in _PRINTED:
        logging.getLogger(name).setLevel(level)
    sys.stdout, sys.stderr = Printed("stdout", sys.stdout), Printed("stderr", sys.stderr)
