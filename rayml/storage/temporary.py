"""Temporary folders that go when the process that needs them has ended, however it ended.

A folder that a process makes carries that process in its name; one that Ray Serve makes, whose path
must be known before, holds it in a file. Both name a process by its id, the moment at which it
started, since ids are used again, the namespace in which the id counts, and the machine, since
machines may share a folder.
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
# Older ones name no machine.
_NAMED = re.compile(rf"{_PREFIX}[a-z]+-(\d+-\d+-\d+(?:-\d+)?)-\w+")
_MARK = re.compile(r"(\d+)-(\d+)-(\d+)(?:-(\d+))?")


def make_folder(kind: str, *, owner: int | None = None) -> Path:
    """Make a folder that only this user can read, and that goes with a process.

    Args:
        kind: what it is for, in small letters.
        owner: the process; None is this one.
    """
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-{_mark(owner or os.getpid())}-"))


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """A folder as of `make_folder`, for as long as the context lasts."""
    folder = make_folder(kind)
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all that is in it; what cannot be removed now is swept later."""
    shutil.rmtree(folder, ignore_errors=True)


def shared_folder() -> Path:
    """The folder for those of this user whose path must be known before they are made.

    The path of a socket has 107 characters at most, so a long TMPDIR would not do.
    """
    return Path(f"/tmp/{_PREFIX}{os.getuid()}")  # noqa: S108 (its users see to whose it is)


def claim(folder: Path, pid: int) -> None:
    """Let a folder below the shared one go with a process.

    Args:
        folder: that is there.
        pid: of the process.
    """
    draft = folder / f"{_OWNER}.{os.getpid()}"
    draft.write_text(_mark(pid), encoding="ascii")
    draft.replace(folder / _OWNER)


@contextmanager
def swept() -> Iterator[None]:
    """Sweep before the context, for what others left, and after it, for what ended with it."""
    sweep()
    try:
        yield
    finally:
        sweep()


def sweep() -> None:
    """Remove this user's folders whose processes have ended; no other is touched."""
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
    """Remove the shared folder if nothing is left in it."""
    with suppress(OSError):
        shared_folder().rmdir()


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_own(folder: Path) -> bool:
    """Whether it is a folder of this user, and no link to one."""
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
    """Whether a process has ended for certain; one of another namespace or machine is not seen."""
    found = _MARK.fullmatch(mark)
    if found is None:
        return False
    pid, started, namespace, machine = map(int, found.groups(_machine()))
    here = namespace == _namespace() and machine == _machine()
    return here and _started(pid) != started


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; 0 where those are not told, None if ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it is somebody else's, and lives
    try:
        # The name, in parentheses, may hold anything.
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
    """A number for this machine: the kernel's own namespace has the same one on all of them."""
    return zlib.crc32(os.uname().nodename.encode())
