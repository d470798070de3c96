"""Reads files after checking their size, before any memory is taken."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class TooLargeError(ValueError):
    """A file is larger than rayml ever writes it."""


def read_bounded(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes.

    Raises:
        OSError: the file does not exist, or is no regular file.
        TooLargeError: the file is larger.
    """
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file")
        if found.st_size > most:
            raise TooLargeError(f"it has {found.st_size:,} bytes, more than {most:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as content:
            # The file may grow while it is read.
            text = content.read(most + 1)
    finally:
        os.close(descriptor)
    if len(text) > most:
        raise TooLargeError(f"it has more than {most:,} bytes")
    return text
