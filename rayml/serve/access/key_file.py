"""The file of API keys: readable by its owner alone, and read again when it changes."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from rayml.errors import ServeError
from rayml.serve.access.keys import Key, Keys, parse_keys
from rayml.storage.disk import append, explained, make_folder

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0

# Changes with the content, whether the file is written over or replaced.
_Mark = tuple[int, int, int, int]


class KeyFile:
    """The keys of a file, which rotate without a restart.

    A change is seen within a second. Where the changed file cannot be used, half written or open
    to others, the keys stay as they were and the log says why.

    Args:
        path: path of the file, the same on every node.
        clock: time in seconds.

    Raises:
        ServeError: the file cannot be read, others may read it, or a line is malformed.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._keys: Keys
        self._mark: _Mark | None
        self._keys, self._mark = read_keys(path)
        self._next_look = clock() + _LOOK_EVERY_S

    def current(self) -> Keys:
        """The keys that are valid now."""
        if (now := self._clock()) >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._look()
        return self._keys

    def _look(self) -> None:
        mark = _mark_at(self._path)
        if mark == self._mark:
            return
        # Set before the file is read, so that a fault is logged once.
        self._mark = mark
        try:
            self._keys, self._mark = read_keys(self._path)
        except ServeError as error:
            _log.error("the keys stay as they were: %s", error)
        else:
            _log.info("%s: %d keys are accepted now", self._path, len(self._keys.keys))


def read_keys(path: Path) -> tuple[Keys, _Mark]:
    """Read a file of keys.

    Returns:
        The keys, and a mark that changes with the file.

    Raises:
        ServeError: the file cannot be read, others may read it, or a line is malformed.
    """
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            _require_private(path, status)
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ServeError(
            f"the file of keys {path} cannot be read ({reason})",
            remedy=f"Make it with `rayml key NAME serve.keys.file={path}`",
        ) from error
    return parse_keys(text, place=str(path)), _mark(status)


def keys_besides(file: str | None, variable: str | None) -> tuple[Key, ...]:
    """Keys that replicas accept besides those of the file; the file is only checked here.

    Args:
        file: path of the file of keys.
        variable: name of an environment variable with keys.

    Returns:
        The keys of the variable, as hashes only.

    Raises:
        ServeError: the file or the variable cannot be used.
    """
    if file is not None:
        read_keys(Path(file))
    if variable is None:
        return ()
    if (text := os.environ.get(variable)) is None:
        raise ServeError(
            f"the environment variable {variable} is not set, and serve.keys.variable names it",
            remedy="Set it to lines of `NAME SCOPES KEY`, or leave out serve.keys.variable",
        )
    # A semicolon also ends a line, since few tools can set a variable of several lines.
    text = text.replace(";", "\n")
    return parse_keys(text, place=f"the variable {variable}", plain=True).keys


def add_key(path: Path, key: Key) -> None:
    """Add a key to a file, which is made if it does not exist.

    Raises:
        ServeError: others than the owner may read the file.
        StorageError: the file cannot be written; no part of the key stays in it.
    """
    make_folder(path.parent)
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _require_private(path, os.fstat(descriptor))
        # One writer at a time, so that two lines do not mix.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        torn = os.lseek(descriptor, 0, os.SEEK_END) and not _ends_a_line(descriptor)
        append(descriptor, f"{chr(10) if torn else ''}{key.line()}\n".encode(), path)
    finally:
        os.close(descriptor)


def _ends_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, 1, size - 1) == b"\n"


def _mark_at(path: Path) -> _Mark | None:
    try:
        return _mark(path.stat())
    except OSError:
        return None


def _mark(status: os.stat_result) -> _Mark:
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ServeError(
            f"the file of keys {path} is no regular file", remedy="Name a file by serve.keys.file"
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise ServeError(
            f"the file of keys {path} belongs to another user (uid {status.st_uid})",
            remedy="Copy it to a file of your own",
        )
    if status.st_mode & 0o077:
        raise ServeError(
            f"others may read the file of keys {path} (mode {stat.S_IMODE(status.st_mode):04o})",
            remedy=f"Run `chmod 600 {path}`, and make new keys if others have read it",
        )
