"""Temporary folders that are removed after their process has ended, however it ended.

A folder's name holds its process; a folder of Ray Serve, whose path must be known in advance, holds
the process in a file. A process is named by its id, its start time, since ids are used again, the
namespace of the id, and the machine, since machines may share a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "rayml-"
_OWNER = "owner"
# The names of an older rayml have no machine.
_NAMED = re.compile(rf"{_PREFIX}[a-z]+-(\d+-\d+-\d+(?:-\d+)?)-\w+")
_MARK = re.compile(r"(\d+)-(\d+)-(\d+)(?:-(\d+))?")


def make_folder(kind: str, *, owner: int | None = None) -> Path:
    """Make a folder that only this user can read, and that is removed after a process has ended.

    Args:
        kind: purpose of the folder, in small letters.
        owner: id of the process; None is this one.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-{_mark(owner or os.getpid())}-"))


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """A folder of `make_folder` for as long as the context lasts."""
    folder = make_folder(kind)
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder with its content; `sweep` removes later what cannot be removed now."""
    shutil.rmtree(folder, ignore_errors=True)


def shared_folder() -> Path:
    """The parent of this user's folders whose path must be known in advance.

    The path of a socket has at most 107 characters, so a long TMPDIR does not serve.
    """
    return Path(f"/tmp/{_PREFIX}{os.getuid()}")  # noqa: S108 (its users check its owner)


def claim(folder: Path, pid: int) -> None:
    """Record the process after whose end a folder below the shared one is removed.

    Args:
        folder: an existing folder.
        pid: id of the process.
    """
    draft = folder / f"{_OWNER}.{os.getpid()}"
    draft.write_text(_mark(pid), encoding="ascii")
    draft.replace(folder / _OWNER)


@contextmanager
def swept() -> Iterator[None]:
    """Sweep before the context and after it."""
    sweep()
    try:
        yield
    finally:
        sweep()


def sweep() -> None:
    """Remove this user's folders whose processes have ended, and no other."""
    for folder in _children(Path(tempfile.gettempdir())):
        named = _NAMED.fullmatch(folder.name)
        if named and _is_own(folder) and _has_ended(named.group(1)):
            remove_folder(folder)
    shared = shared_folder()
    if not _is_own(shared):
        return
    for folder in _children(shared):
        if _is_own(folder) and _has_ended(_owner_of(folder)):
            remove_folder(folder)
    discard_shared()


def discard_shared() -> None:
    """Remove the shared folder if it is empty."""
    with suppress(OSError):
        shared_folder().rmdir()


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_own(folder: Path) -> bool:
    """Whether a path is a folder of this user, and no link."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _owner_of(folder: Path) -> str:
    try:
        return (folder / _OWNER).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _mark(pid: int) -> str:
    return f"{pid}-{_started(pid) or 0}-{_namespace()}-{_machine()}"


def _has_ended(mark: str) -> bool:
    """Whether a process has certainly ended; false for another namespace or machine."""
    found = _MARK.fullmatch(mark)
    if found is None:
        return False
    pid, started, namespace, machine = map(int, found.groups(_machine()))
    here = namespace == _namespace() and machine == _machine()
    return here and _started(pid) != started


def _started(pid: int) -> int | None:
    """Start time of a process in clock ticks; 0 where unknown, None if it has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as another user's
    try:
        # The name of the program, in parentheses, may hold spaces and parentheses.
        after = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return None if after[0] == "Z" else int(after[19])


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _machine() -> int:
    """A number for this machine; the initial namespace has one number on all machines."""
    return zlib.crc32(os.uname().nodename.encode())
