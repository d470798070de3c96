"""The claim of a process on a sweep's name: one process at a time runs a sweep."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayml.errors import SearchError
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.storage.disk import explained, make_folder

_LOCK = ".lock"


@contextmanager
def claimed(folder: Path, *, resume: bool) -> Iterator[None]:
    """Hold the name of a sweep while the context lasts; it ends with its process in any case.

    Args:
        folder: of the sweep, which is made.
        resume: whether the sweep goes on, or begins.

    Raises:
        SearchError: another process has the name, or a sweep had it before.
        StorageError: the folder cannot be made.
    """
    require_free(folder, resume=resume)
    make_folder(folder)
    path = folder / _LOCK
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _runs(folder, os.pread(descriptor, 200, 0).decode(errors="replace")) from None
        # Another process may have begun it, and ended, since the first look.
        require_free(folder, resume=resume)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} of {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def require_free(folder: Path, *, resume: bool) -> None:
    """Refuse a name for a new sweep that an earlier one has.

    Raises:
        SearchError: an earlier sweep has it.
    """
    if not resume and (folder / JOURNAL).exists():
        raise SearchError(
            f"there is a sweep named {folder.name} in {folder.parent}",
            remedy=f"Choose another search.name, remove {folder}, or go on with it by"
            f" `rayml sweep resume={folder.name}`",
        )


def _runs(folder: Path, holder: str) -> SearchError:
    by = f" ({holder})" if holder else ""
    return SearchError(
        f"sweep {folder.name} is running{by}",
        remedy="Choose another search.name, or wait until it has ended",
    )
