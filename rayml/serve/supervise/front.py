"""The process of `rayml serve` itself: it waits for the supervisor and passes signals on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rayml.processes import adopt_orphans, children, end_all_below, reap
from rayml.serve.supervise.supervisor import say
from rayml.storage.temporary import sweep

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# The caretaker has this long to end the remaining processes.
_LEFT_S = 14.0


class _Front:
    """Receives signals, and passes them on to a process once it has started."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._early: list[int] = []
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._take)

    def pass_on_to(self, pid: int) -> None:
        """Pass on the signals received so far, and all later ones."""
        self._pid = pid
        for number in self._early:
            self._take(number, None)

    def _take(self, number: int, _: object) -> None:
        if self._pid is None:
            self._early.append(number)
            return
        # SIGQUIT (Ctrl-\) ends the command, and the endpoint in the same orderly way.
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM if number == signal.SIGQUIT else number)


def run_supervised(arguments: Sequence[str]) -> int:
    """Run a command under a supervisor.

    Args:
        arguments: arguments of `rayml`, the verb first.

    Returns:
        The exit code of the driver; 1 if the supervisor was killed.
    """
    adopt_orphans()
    front = _Front()
    flags = [] if _imports_from_here() else ["-P"]
    with subprocess.Popen(  # noqa: S603 (rayml itself)
        [sys.executable, *flags, "-m", "rayml.serve.supervise.supervisor", *arguments],
        stdin=subprocess.DEVNULL,
        # The terminal signals this process alone, which passes the signal on once.
        start_new_session=True,
    ) as supervisor:
        front.pass_on_to(supervisor.pid)
        code = supervisor.wait()
    if code >= 0:
        return code
    say(f"the supervisor was killed by {signal.Signals(-code).name}; the endpoint ends")
    deadline = time.monotonic() + _LEFT_S
    while children(os.getpid()) and time.monotonic() < deadline:
        reap()
        time.sleep(0.05)
    end_all_below()
    sweep()
    return 1


def _imports_from_here() -> bool:
    """Whether modules of the working directory can be imported, as after `python -m`."""
    return not sys.flags.safe_path and sys.path[0] in {"", str(Path.cwd())}
