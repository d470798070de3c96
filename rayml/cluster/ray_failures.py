"""Says in one line what failed in Ray, and what to do about it.

Errors of Ray are known by the names of their classes, so that a command that does without Ray does
not import it.
"""

from __future__ import annotations

import errno
import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayml.errors import ClusterError, RaymlError

_AGAIN = "Start the command again"
_TOKEN = (
    "the cluster refuses this token",
    "Give the cluster's own: RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
)
_ROOM = "Free some, or let Ray write elsewhere: RAY_TMPDIR=FOLDER"
# What happened and what to do, by the name of the class that Ray raises.
_KINDS: Mapping[str, tuple[str, str]] = {
    "AuthenticationError": _TOKEN,
    "OutOfMemoryError": (
        "Ray ended a worker, since the machine's memory was used up",
        "Lower search.concurrency or the batch sizes, or use a larger machine",
    ),
    "ObjectStoreFullError": (
        "Ray's object store is full",
        "Lower search.concurrency, or use a machine with more memory in /dev/shm",
    ),
    "OutOfDiskError": ("the disk that Ray writes to is full", _ROOM),
    "LocalRayletDiedError": ("Ray's process on this machine has ended", _AGAIN),
    "NodeDiedError": ("a machine of the cluster was lost", _AGAIN),
    "RuntimeEnvSetupError": (
        "Ray could not set up the environment of its workers",
        "Correct what its message names",
    ),
    "ActorUnschedulableError": ("the cluster has no room", "Use a larger cluster"),
    "TaskUnschedulableError": ("the cluster has no room", "Use a larger cluster"),
    "RayActorError": ("a process of Ray has ended", _AGAIN),
    "WorkerCrashedError": ("a process of Ray has ended", _AGAIN),
    "ObjectLostError": ("data that Ray held was lost with its process", _AGAIN),
    "GetTimeoutError": ("Ray did not answer in time", _AGAIN),
    "RpcError": ("the connection to Ray was lost", _AGAIN),
    "RaySystemError": ("Ray failed", _AGAIN),
    "RayServeException": ("Ray Serve failed", _AGAIN),
    "TuneError": ("Ray Tune failed", _AGAIN),
}


def explained(error: BaseException, logs: Path | None = None) -> RaymlError | None:
    """The error to show for an error that Ray raised; None if Ray did not raise it.

    Args:
        error: of any kind.
        logs: Ray's log folder, where the whole of it is kept.
    """
    if not _is_rays(error):
        return None
    ours = _cause(error)
    if isinstance(ours, RaymlError):
        return ours
    if ours is not None and not _is_rays(ours):
        what, remedy = f"a worker failed with {_line(ours)}", "Mend the cause, and start again"
    else:
        what, remedy = _known(ours or error)
    return ClusterError(what, remedy=f"{remedy}{_kept(error, logs)}")


def not_started(error: BaseException, logs: Path | None = None) -> ClusterError:
    """The error to show if Ray did not start, or was not joined."""
    text = str(error)
    if "ersion mismatch" in text:
        reason = " ".join(text.split())
        return ClusterError(
            f"the cluster runs another Ray or Python ({reason})",
            remedy="Use the versions of the cluster",
        )
    if _is_named(error, "AuthenticationError") or "nauthenticated" in text:
        return ClusterError(_TOKEN[0], remedy=_TOKEN[1])
    if _is_full(error):
        return ClusterError(f"no room is left for Ray ({_room()})", remedy=_ROOM)
    where = "" if logs is None else f"; its logs are in {logs}"
    return ClusterError(
        f"Ray did not start ({_line(error)})",
        remedy=f"{_AGAIN} when the machine has less to do{where}",
    )


def may_start_later(error: BaseException) -> bool:
    """Whether a start that failed so may succeed when it is tried again."""
    text = str(error).lower()
    if _is_named(error, "AuthenticationError") or _is_full(error) or "version mismatch" in text:
        return False
    return isinstance(error, TimeoutError) or any(
        word in text for word in ("timed out", "overloaded", "timeout", "in use", "gcs")
    )


def _is_rays(error: BaseException) -> bool:
    return any(each.__module__.partition(".")[0] == "ray" for each in type(error).__mro__)


def _is_named(error: BaseException, name: str) -> bool:
    return any(each.__name__ == name for each in type(error).__mro__)


def _cause(error: BaseException) -> BaseException | None:
    """What was raised in the worker, where Ray passes that on."""
    found: Any = error
    while _is_named(found, "RayTaskError") and isinstance(found.cause, BaseException):
        found = found.cause
    return None if found is error else found


def _known(error: BaseException) -> tuple[str, str]:
    for each in type(error).__mro__:
        if each.__name__ in _KINDS:
            what, remedy = _KINDS[each.__name__]
            return f"{what} ({_line(error)})", remedy
    return f"Ray failed ({_line(error)})", _AGAIN


def _line(error: BaseException) -> str:
    """The first line of an error's message, with its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0].rstrip('.')}" if lines else name


def _kept(error: BaseException, logs: Path | None) -> str:
    """Keep an error's traceback among the logs; says where, or nothing."""
    if logs is None:
        return ""
    file = logs / "rayml-traceback.txt"
    try:
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:  # they went with Ray
        return ""
    return f"; see {file}, and the logs beside it"


def _is_full(error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return full or "No space left" in str(error)


def _room() -> str:
    rooms = []
    for folder in ("/dev/shm", "/tmp"):  # noqa: S108 (where Ray writes)
        try:
            rooms.append(f"{folder} has {shutil.disk_usage(folder).free / 2**20:,.0f} MiB")
        except OSError:
            continue
    return ", ".join(rooms)
