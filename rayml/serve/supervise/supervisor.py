"""Keeps the driver of an endpoint running: a small process that imports neither Ray nor a model.

    rayml serve ── supervisor ─┬─ driver     deploys the endpoint, and watches it
                               └─ caretaker  holds the local Ray, and ends what is left

`rayml serve` itself waits for the supervisor and passes signals on. A driver that is killed is
started again and attaches to the endpoint, since Ray is the caretaker's child; if the caretaker or
its Ray dies, both are started again. If `rayml serve` is killed, the endpoint goes on. If the
supervisor is killed, the kernel kills the driver, and the caretaker ends everything else. Once a
driver ends by itself, with or without an error, everything ends.

It runs as `python -m rayml.serve.supervise.supervisor VERB [key=value …]`. Processes below it that
lose their parent become its children, so that none outlives it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from rayml.processes import adopt_orphans, die_with_parent, end_all_below, reap, writable
from rayml.serve.supervise.messages import Message, Messages, pair
from rayml.serve.supervise.restarts import Deaths, pause_before_restart
from rayml.serve.supervise.supervisors import answer, listener
from rayml.storage.temporary import sweep

CHANNEL = "RAYML_SUPERVISOR"
"""Environment variable of a driver: the descriptor of its channel to the supervisor."""

# Longer than Ray takes to end.
_CARETAKER_S = 20.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Child:
    """A child process with a channel to it."""

    def __init__(self, command: Sequence[str], *, dies: bool) -> None:
        self.messages, end = pair()
        # Writing to a terminal or a pipe that is gone would end the process.
        streams = [None if writable(each) else subprocess.DEVNULL for each in (1, 2)]
        flags = ["-P"] if sys.flags.safe_path else []
        self._process = subprocess.Popen(  # noqa: S603 (rayml itself)
            [sys.executable, *flags, "-m", *command],
            env={**os.environ, CHANNEL: str(end.fileno())},
            pass_fds=[end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            preexec_fn=die_with_parent if dies else None,  # noqa: PLW1509 (one thread only)
        )
        end.close()
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ended(self, code: int) -> None:
        """Record its exit code and close its messages."""
        self._process.returncode = code
        self.messages.close()


class Supervisor:
    """Starts a driver, and starts it again when it is killed.

    Args:
        driver: name of the driver's module, and its arguments.
        caretaker: name of the caretaker's module.
        pause: see `pause_before_restart`.
    """

    def __init__(
        self,
        driver: Sequence[str],
        caretaker: str = "rayml.serve.supervise.caretaker",
        pause: Callable[[Deaths], float | None] = pause_before_restart,
    ) -> None:
        self._commands = list(driver), [caretaker]
        self._pause = pause
        self._driver: _Child | None = None
        self._caretaker: _Child | None = None
        self._endpoint: Message | None = None
        self._cluster: Message | None = None
        self._wanted = False
        self._answered_at: float | None = None
        self._asked = False
        self._deaths = Deaths()
        self._start_at: float | None = time.monotonic()
        self._code: int | None = None
        self._asked_at = listener()
        self._wake, wakes = socket.socketpair()
        for end in (self._wake, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._wakes = wakes
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def run(self) -> int:
        """Keep the driver running until it ends by itself; returns its exit code."""
        adopt_orphans()
        while self._code is None:
            if self._start_at is not None and time.monotonic() >= self._start_at:
                self._start_at = None
                self._answered_at, self._wanted = None, False
                self._driver = _Child(self._commands[0], dies=True)
                self._driver.messages.send({"endpoint": self._endpoint})
            self._wait()
        return self._code

    def _wait(self) -> None:
        """Wait for one event, and act on it."""
        ends = [each.messages for each in (self._driver, self._caretaker) if each is not None]
        watched: list[Messages | socket.socket] = [self._wake, self._asked_at, *ends]
        pause = None if self._start_at is None else max(self._start_at - time.monotonic(), 0)
        ready = select.select(watched, [], [], pause)[0]
        if self._driver is not None and self._driver.messages in ready:
            self._hear(self._driver)
        if self._caretaker is not None and self._caretaker.messages in ready:
            self._hear(self._caretaker)
        if self._asked_at in ready:
            answer(self._asked_at, self._told())
        if self._wake in ready:
            self._signalled(self._wake.recv(4096))

    def _told(self) -> Message:
        """The answer to `rayml status`, see `Running`."""
        endpoint = self._endpoint or {}
        return {
            "driver": None if self._driver is None else self._driver.pid,
            "url": endpoint.get("url"),
            "version": endpoint.get("version"),
        }

    def _hear(self, child: _Child) -> None:
        while (message := child.messages.receive()) is not None:
            if child is self._driver:
                self._driver_says(child, message)
            else:
                self._cluster = message
                if self._driver is not None and self._wanted:
                    self._tell_cluster(self._driver)
            if not child.messages.pending:
                return
        time.sleep(0.01)  # its channel is closed: SIGCHLD follows

    def _driver_says(self, driver: _Child, message: Message) -> None:
        if "cluster" in message:
            self._wanted = True
            if self._caretaker is None:
                self._caretaker = _Child(self._commands[1], dies=False)
                self._caretaker.messages.send(message)
            elif self._cluster is not None:
                self._tell_cluster(driver)
        else:
            self._endpoint = message["endpoint"]
            if message["answers"]:
                self._answered_at = time.monotonic()
            if self._caretaker is not None:
                self._caretaker.messages.send(message)

    def _tell_cluster(self, driver: _Child) -> None:
        self._wanted = False
        driver.messages.send(self._cluster or {})

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _SIGNALS:
                self._asked = True
                if self._driver is None:
                    self._finish(128 + number)
                else:
                    # A terminal that is gone shows nothing, so SIGHUP ends like SIGTERM.
                    self._driver.signal(signal.SIGTERM if number == signal.SIGHUP else number)
        ended = reap()
        if self._caretaker is not None and self._caretaker.pid in ended:
            self._lost_caretaker(self._caretaker, ended[self._caretaker.pid])
        if self._driver is not None and self._driver.pid in ended:
            self._lost_driver(self._driver, ended[self._driver.pid])

    def _lost_driver(self, driver: _Child, code: int) -> None:
        driver.ended(code)
        self._driver = None
        if self._start_at is not None:
            return  # killed together with Ray: a restart is planned already
        answered = self._answered_at is not None
        if code >= 0 and answered and not self._asked and self._ray_has_ended():
            self._restart("Ray has ended and is started again")
        elif code >= 0 or self._asked:
            self._finish(code if code >= 0 else 128 - code)
        else:
            self._restart(f"the driver was killed by {_name(code)} and is started again")

    def _ray_has_ended(self) -> bool:
        """Whether the driver ended because its Ray did; the caretaker has ended then."""
        # A caretaker whose Ray has ended exits at once with RAY_ENDED.
        return self._end_caretaker() not in {None, 0}

    def _lost_caretaker(self, caretaker: _Child, code: int) -> None:
        caretaker.ended(code)
        self._caretaker = None
        if self._cluster is not None and "error" in self._cluster:
            return  # the driver prints the error
        if self._driver is not None:
            self._driver.signal(signal.SIGKILL)
        end_all_below()
        if self._driver is not None:
            self._driver.ended(-signal.SIGKILL)
            self._driver = None
        self._cluster = None
        if self._asked:
            self._finish(1)
        else:
            self._restart("Ray has ended and is started again")

    def _restart(self, reason: str) -> None:
        if self._start_at is not None:
            say(reason)  # Ray died too, while the driver's next start was planned already
            return
        now, answered_at = time.monotonic(), self._answered_at
        self._deaths = self._deaths.and_one(None if answered_at is None else now - answered_at)
        pause = self._pause(self._deaths)
        if pause is None:
            failed = self._deaths.failed_starts
            say(f"the driver died {failed} times before its endpoint answered; giving up")
            self._finish(1)
            return
        say(reason)
        if pause:
            say(f"the next start is in {pause:g} s, {self._why_later()}")
        self._start_at = now + pause

    def _why_later(self) -> str:
        if self._deaths.failed_starts:
            return "since the endpoint did not answer before"
        return f"since the driver died {self._deaths.quick} times soon after the endpoint answered"

    def _end_caretaker(self) -> int | None:
        """Have the caretaker end everything; returns its exit code, None without a caretaker."""
        caretaker, self._caretaker, self._cluster = self._caretaker, None, None
        code = None
        if caretaker is not None:
            caretaker.messages.close()
            deadline = time.monotonic() + _CARETAKER_S
            while code is None and time.monotonic() < deadline:
                code = reap().get(caretaker.pid)
                time.sleep(0.02)
            caretaker.ended(-signal.SIGKILL if code is None else code)
        end_all_below()
        return code

    def _finish(self, code: int) -> None:
        self._start_at = None
        self._end_caretaker()
        sweep()
        self._code = code


def _name(code: int) -> str:
    return signal.Signals(-code).name


def say(text: str) -> None:
    """Print a line to standard error, if it is still open."""
    with suppress(OSError):
        sys.stderr.write(f"rayml: {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(Supervisor(["rayml", *sys.argv[1:]]).run())
