"""Locks a journal for its one writer, and repairs it where an earlier writer died."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from io import FileIO
from pathlib import Path
from typing import Any

from rayml.errors import SearchError
from rayml.search.journal.salvage import parse_line, salvage
from rayml.storage.disk import append, explained, write

TORN = ".torn"
_MENDING = ".mending"
# A killed sweep's processes may take some seconds to notice that they are alone.
_PATIENCE = 30.0
_POLL = 0.1


def lock_file(file: FileIO, path: Path) -> None:
    """Lock a file for the life of this process, or until it is closed.

    Args:
        file: opened for writing.
        path: of it, for the message.

    Raises:
        SearchError: another process holds it, and goes on doing so.
    """
    deadline = time.monotonic() + _PATIENCE
    while not _locked(file):
        if time.monotonic() >= deadline:
            raise SearchError(
                "another process writes the journal",
                found=str(path),
                remedy="Wait for the sweep that runs under this name, or end it",
            )
        time.sleep(_POLL)


def require_no_writer(path: Path) -> None:
    """Wait until nothing writes a journal; what a killed sweep left behind soon ends.

    Raises:
        SearchError: a process holds it, and goes on doing so.
    """
    with path.open("rb", buffering=0) as file:
        lock_file(file, path)


def repair(file: FileIO, path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """Read a journal whose writer may have died, and cut off an unfinished last line.

    The bytes that are cut off are kept in a file beside it.

    Args:
        file: the journal, opened for reading and writing; afterwards at its end.
        path: of it.

    Returns:
        Its operations, and what was cut off.

    Raises:
        SearchError: a line before the last one is damaged.
    """
    whole = file.readall()
    logs, torn = parse(whole, path)
    end = len(whole) - len(torn)
    if torn:
        with path.with_name(path.name + TORN).open("ab") as aside:
            aside.write(torn + b"\n")
        file.truncate(end)
        os.fsync(file.fileno())
    file.seek(end)
    return logs, torn


def mend(path: Path) -> str:
    """Mend a journal that is damaged before its last line, and keep it as it was beside it.

    Args:
        path: of the journal, which nothing writes or soon will not.

    Returns:
        What was lost, in a sentence; empty if nothing was damaged.

    Raises:
        SearchError: a process writes it, or it cannot be mended.
        StorageError: the disk has no room for the mended one.
    """
    with explained(path), path.open("r+b", buffering=0) as file:
        lock_file(file, path)
        mending = path.with_name(path.name + _MENDING)
        if mending.exists():  # an earlier process died while it mended
            _rewrite(file, mending)
        whole = file.readall()
        lines = _lines(whole)
        broken = [number for number, line in enumerate(lines, 1) if parse_line(line) is None]
        if not broken or broken == [len(lines)]:
            return ""
        saved = salvage(lines[:-1] if broken[-1] == len(lines) else lines)
        if saved is None:
            raise SearchError(
                f"line {broken[0]} of {path} is damaged, and the trials after it cannot be told"
                " apart without it",
                remedy="Restore the file from a copy",
            )
        kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        write(kept, whole, synced=True)
        text = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in saved.logs]
        write(mending, b"".join(text), synced=True)
        _rewrite(file, mending)
    return f"{saved.describe()}. The journal as it was is {kept.name}"


def _rewrite(file: FileIO, mending: Path) -> None:
    """Give a journal the content of its mended copy; its lock is the file's, so the file stays."""
    content = mending.read_bytes()
    file.truncate(0)
    file.seek(0)
    append(file.fileno(), content, mending)
    os.fsync(file.fileno())
    mending.unlink()
    file.seek(0)


def parse(whole: bytes, path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """Read the lines of a journal.

    Args:
        whole: what it holds.
        path: of it, for the message.

    Returns:
        Its operations, and its last line if that is unfinished or damaged.

    Raises:
        SearchError: a line before the last one is damaged.
    """
    lines = _lines(whole)
    logs = [parse_line(line) for line in lines]
    torn = lines[-1] if lines and logs[-1] is None else b""
    found = [log for log in logs if log is not None]
    if len(found) < len(lines) - bool(torn):
        number = logs.index(None)
        raise SearchError(
            f"line {number + 1} of the journal is damaged",
            found=lines[number][:80],
            remedy=f"`rayml sweep resume={path.parent.name}` mends it as far as that can be done",
        )
    return found, torn


def _lines(whole: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", whole)


def _locked(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
