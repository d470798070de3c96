"""The supervisors of this user on this machine: finds them, asks them, ends them."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rayml.processes import Watch, wait_for_any
from rayml.serve.supervise.messages import Message

MODULE = "rayml.serve.supervise.supervisor"
_ASK_S = 5.0
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Running:
    """A supervisor.

    Attributes:
        pid: process id.
        command: arguments of `rayml` that it was started with, the verb first.
        driver: process id of its driver; None while there is none.
        url: URL of the endpoint; None until the endpoint answers for the first time.
        version: version of the model that the endpoint started with.
        started: start time of the process, in clock ticks since boot; empty where unknown.
    """

    pid: int
    command: tuple[str, ...]
    driver: int | None = None
    url: str | None = None
    version: str | None = None
    started: str = field(default="", compare=False)

    def end(self, timeout_s: float) -> bool:
        """Stop it after it has answered all accepted requests; returns whether it has ended."""
        try:
            watch = Watch(self.pid)
            # Its id may have gone to another process since it was found.
            if self.started and _started(Path(f"/proc/{self.pid}")) != self.started:
                return True
            signal.pidfd_send_signal(watch.fileno(), signal.SIGTERM)
        except (ProcessLookupError, FileNotFoundError):
            return True
        return wait_for_any([watch], timeout_s)


def running() -> list[Running]:
    """The running supervisors of this user, by process id."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            command = _command(process)
            if command is not None and process.stat().st_uid == os.getuid():
                started = _started(process)
                found.append(replace(_asked(int(process.name), command), started=started))
    return sorted(found, key=lambda each: each.pid)


def _command(process: Path) -> tuple[str, ...] | None:
    """Arguments of a supervisor; None of any other process."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    return tuple(words[words.index(MODULE) + 1 : -1]) if MODULE in words[:4] else None


def listener() -> socket.socket:
    """The socket at which this supervisor answers `rayml status`; it leaves no file.

    Where another process has taken its name, the socket gets another name, which nobody finds.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.bind(_address(os.getpid()))
    except OSError:
        opened.bind("")  # the kernel chooses a name
    opened.listen()
    return opened


def answer(listening: socket.socket, message: Message) -> None:
    """Answer one connection, if it comes from this user or root."""
    with suppress(OSError):
        connection, _ = listening.accept()
        with connection:
            if _user(connection) in {os.getuid(), 0}:
                connection.sendall(json.dumps(message).encode())


def _started(process: Path) -> str:
    # The name of the program, in parentheses, may hold spaces and parentheses.
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19]


def _asked(pid: int, command: tuple[str, ...]) -> Running:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ASK_S)
            connection.connect(_address(pid))
            if _user(connection) != os.getuid():
                return Running(pid, command)
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        return Running(pid, command, **json.loads(data))
    except (OSError, ValueError):  # it is starting or ending
        return Running(pid, command)


def _address(pid: int) -> str:
    # In Linux's abstract namespace, which containers with equal process ids may share.
    return f"\0rayml-supervisor-{Path('/proc/self/ns/pid').stat().st_ino}-{pid}"


def _user(connection: socket.socket) -> int:
    """The user of the process at the other end."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(packed)[1])
