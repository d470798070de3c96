"""Status files: each replica writes its own into a folder that all replicas of an endpoint share.

So each replica can answer for all of them, also for those that are too busy to be asked.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

PERIOD_S = 1.0
"""Replicas write this often."""

_FRESH_S = 6.0
_FORGOTTEN_S = 600.0


class StatusFiles:
    """The files of one folder, each with the last status of one process.

    A file that was not written for 6 s belongs to a process that was killed, and is not read.

    Args:
        folder: on the machine, or shared by the machines that the processes run on. It must
            exist: a folder that was removed is not made again.
        name: of this process's file, unlike that of any other process.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = folder / f"{name}.json"

    def write(self, content: bytes) -> None:
        """Write the status; readers see the old or the new one, whole.

        Raises:
            OSError: the folder cannot be written to.
        """
        handle, draft = tempfile.mkstemp(dir=self._folder, prefix=f".{self._own.stem}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(draft).replace(self._own)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    def read(self) -> list[bytes]:
        """The last statuses of all processes that run."""
        return read_fresh(self._folder, now=_newest(self._folder))

    def remove(self) -> None:
        """Remove the file of this process, which ends."""
        self._own.unlink(missing_ok=True)


def _newest(folder: Path) -> float:
    """When a file was written last, by the folder's own clock, which may be another machine's."""
    times = []
    for path in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def read_fresh(folder: Path, *, now: float) -> list[bytes]:
    """Read the last statuses of the processes that run; files that are far too old are removed.

    Args:
        folder: of the files.
        now: seconds since the epoch, by the folder's clock.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            age = now - path.stat().st_mtime
            if age < _FRESH_S:
                found.append(path.read_bytes())
            elif age > _FORGOTTEN_S:
                path.unlink()
        except FileNotFoundError:
            continue  # its process has just ended
    return found
