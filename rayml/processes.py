"""Parents, children and ends of processes, on Linux."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.02
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    found: list[int] = []
    with suppress(OSError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with suppress(OSError):  # the thread has ended meanwhile
                found += map(int, (task / "children").read_text().split())
    return found


def end_all_below(timeout_s: float = 10.0) -> None:
    """Kill every process below this one, which adopts orphans, and wait until they have ended."""
    deadline = time.monotonic() + timeout_s
    while (below := children(os.getpid())) and time.monotonic() < deadline:
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(_POLL_S)


def reap() -> dict[int, int]:
    """Exit codes of the children that have ended, by process id; of a killed one the -signal."""
    ended = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def writable(descriptor: int) -> bool:
    """Whether a descriptor's reader is still open; true for a file."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    lost = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return not any(event & lost for _, event in poll.poll(0))


def parent_of(pid: int) -> int:
    """The parent of a process."""
    # The name of the program, in parentheses, may hold spaces and parentheses.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Watch:
    """Watches a process, which need not be a child of this one.

    Args:
        pid: id of the process.

    Raises:
        ProcessLookupError: no such process runs.
    """

    def __init__(self, pid: int) -> None:
        self._pidfd: int | None = None
        self._pidfd = os.pidfd_open(pid)

    def __del__(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def fileno(self) -> int:
        """Descriptor for `select`: readable once the process has ended."""
        assert self._pidfd is not None
        return self._pidfd

    def ended(self) -> bool:
        """Whether the process has ended."""
        return wait_for_any([self], 0)


def wait_for_any(watched: Sequence[Watch], timeout_s: float | None) -> bool:
    """Wait until a process has ended or the time is over; returns whether one has ended."""
    return bool(select.select(watched, [], [], timeout_s)[0])
