"""Files that are written whole or not at all, on a disk that may be full, read-only or gone."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rayml.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, whose file replaces `path` in one step at the end of the context.

    Where the writing fails, an older file stays and no part of the new one is left.

    Args:
        path: path of the file, which has one writer at a time.

    Raises:
        StorageError: the disk is full, read-only or gone.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with explained(path):
            yield partial
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write(path: Path, content: bytes | str, *, synced: bool = False) -> None:
    """Write a file, in place of an older one; it appears complete or not at all.

    Args:
        path: path of the file, which has one writer at a time.
        content: text is written as UTF-8.
        synced: flush the file to the disk, so that it outlasts a power cut.

    Raises:
        StorageError: the disk is full, read-only or gone.
    """
    with whole(path) as partial, partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if synced:
            file.flush()
            os.fsync(file.fileno())


def append(file: int, content: bytes, path: Path) -> None:
    """Append all of some bytes to a file, or none of them.

    Args:
        file: descriptor, at the file's end; no other process writes the file.
        content: the bytes.
        path: path of the file, for the message.

    Raises:
        StorageError: the disk is full, read-only or gone; the file has its old length, as after any
            other exception.
    """
    start = os.lseek(file, 0, os.SEEK_CUR)
    with explained(path):
        try:
            rest = memoryview(content)
            # A call writes only a part where the disk is almost full.
            while rest:
                rest = rest[os.write(file, rest) :]
        except BaseException:  # also an interrupt between two calls
            os.ftruncate(file, start)
            os.lseek(file, start, os.SEEK_SET)
            raise


def make_folder(path: Path) -> None:
    """Make a folder with its parents, if it does not exist.

    Raises:
        StorageError: the disk is full, read-only or gone.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` that says what to do.

    Args:
        path: the path that is written; the error names the system's own path where it has one.

    Raises:
        StorageError: the disk is full, read-only or gone.
    """
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error


def disk_refusal(error: BaseException) -> StorageError | None:
    """The error to show for a full or read-only disk; None for any other exception."""
    if isinstance(error, OSError) and is_refusal(error):
        return refused(error, Path.cwd())
    return None


def is_refusal(error: OSError) -> bool:
    """Whether the disk is full or read-only, so that any write would fail."""
    return _number(error) in _FULL | {errno.EROFS}


def refused(error: OSError, path: Path) -> StorageError:
    """The error of a write that the operating system refused.

    Args:
        error: the system's error.
        path: the path that is written; the error names the system's own path where it has one.
    """
    shown = path if error.filename is None else Path(os.fsdecode(error.filename))
    shown = shown.with_name(shown.name.removesuffix(".partial"))
    number = _number(error)
    reason = (os.strerror(number) if number else str(error)).lower()
    if number in _FULL:
        return StorageError(
            f"cannot write {shown}: {reason}", remedy=f"Make room on the disk of {shown.parent}"
        )
    if number in _CLOSED:
        return StorageError(
            f"cannot write {shown}: {reason}",
            remedy=f"Give this user the right to write to {shown.parent}, or choose another folder",
        )
    return StorageError(
        f"cannot write {shown}: {reason}", remedy=f"Check that {shown.parent} is a folder"
    )


def _number(error: OSError) -> int | None:
    """The error number; after copying a folder, that of the first file."""
    found = _ERRNO.search(str(error)) if error.errno is None else None
    return int(found.group(1)) if found else error.errno
