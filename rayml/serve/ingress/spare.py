"""A spare process: a fork that takes over when its parent is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from rayml.processes import Watch


class Spare:
    """A fork of this process that waits for its death.

    Args:
        succeed: runs in the fork once this process was killed.
    """

    def __init__(self, succeed: Callable[[], NoReturn]) -> None:
        over, self._over = os.pipe()
        self._dismissed = False
        pid = os.fork()
        if pid == 0:
            os.close(self._over)
            # A parent that is killed closes the pipe without a byte.
            if os.read(over, 1):
                os._exit(0)
            os.close(over)
            succeed()
        os.close(over)
        self._pid = pid
        self.watch = Watch(pid)

    def dismiss(self) -> None:
        """End the fork: this process is about to end and needs no successor."""
        if not self._dismissed:
            self._dismissed = True
            with suppress(OSError):
                os.write(self._over, b".")

    def ended(self) -> bool:
        """Whether the fork has been killed."""
        if not self.watch.ended():
            return False
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        with suppress(OSError):
            os.close(self._over)
        return True
