"""A lock between processes that a crash cannot leave behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayml.storage.disk import explained


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file until the block ends.

    The kernel ties a `flock` to the open file, so it ends with its process however that dies,
    and the file itself may stay.
    """
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
