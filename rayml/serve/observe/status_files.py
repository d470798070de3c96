"""What replicas tell of themselves, in a file each of a folder that they share.

Whichever replica is asked can answer for all of them, also for those that are too busy to be asked.
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
    """The files of one folder, each with the last that one process has told.

    A file that was not written for 6 s is of a process that was killed; it counts no more.

    Args:
        folder: on the machine, or shared by the machines that the processes run on. It must be
            there: what somebody removes is not made again by halves.
        name: of this process's file, unlike that of any other process.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = folder / f"{name}.json"

    def write(self, content: bytes) -> None:
        """Tell something; readers see the old or the new, whole.

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
        """What all processes that run have told last."""
        return read_fresh(self._folder, now=_newest(self._folder))

    def remove(self) -> None:
        """End to be one of those that run."""
        self._own.unlink(missing_ok=True)


def _newest(folder: Path) -> float:
    """When something was told last, by the folder's own clock, which may be another machine's."""
    times = []
    for path in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def read_fresh(folder: Path, *, now: float) -> list[bytes]:
    """What the processes that run have told last; files long forgotten are removed.

    Args:
        folder: of the files.
        now: seconds since the epoch, by the folder's clock.
    """
    told = []
    for path in sorted(folder.glob("*.json")):
        try:
            age = now - path.stat().st_mtime
            if age < _FRESH_S:
                told.append(path.read_bytes())
            elif age > _FORGOTTEN_S:
                path.unlink()
        except FileNotFoundError:
            continue  # its process has just ended
    return told
