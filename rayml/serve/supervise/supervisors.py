"""The supervisors that this user runs on this machine: found, asked, and ended."""

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
        pid: its process.
        command: what it was started with, the verb first.
        driver: process of its driver; None while there is none.
        url: of the endpoint; None until it answers for the first time.
        version: that it was started with.
        started: when its process did, as the kernel tells it; empty where nobody has looked.
    """

    pid: int
    command: tuple[str, ...]
    driver: int | None = None
    url: str | None = None
    version: str | None = None
    started: str = field(default="", compare=False)

    def end(self, timeout_s: float) -> bool:
        """Have it answer what was taken in and end; whether it has."""
        try:
            watch = Watch(self.pid)
            # Its id may be another process's since it was found.
            if self.started and _started(Path(f"/proc/{self.pid}")) != self.started:
                return True
            signal.pidfd_send_signal(watch.fileno(), signal.SIGTERM)
        except (ProcessLookupError, FileNotFoundError):
            return True
        return wait_for_any([watch], timeout_s)


def running() -> list[Running]:
    """Those of this user, by their processes."""
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
    """What a supervisor was started with; None of another process."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    return tuple(words[words.index(MODULE) + 1 : -1]) if MODULE in words[:4] else None


def listener() -> socket.socket:
    """The socket at which this process, a supervisor, can be asked; it leaves no file.

    Where somebody has taken its name, it is another one that nobody finds.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.bind(_address(os.getpid()))
    except OSError:
        opened.bind("")  # which lets the kernel choose
    opened.listen()
    return opened


def answer(listening: socket.socket, message: Message) -> None:
    """Answer one who asks, if it is this user or root."""
    with suppress(OSError):
        connection, _ = listening.accept()
        with connection:
            if _user(connection) in {os.getuid(), 0}:
                connection.sendall(json.dumps(message).encode())


def _started(process: Path) -> str:
    # The name, in parentheses, may hold anything.
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
    except (OSError, ValueError):  # it starts, or ends
        return Running(pid, command)


def _address(pid: int) -> str:
    # Of Linux's abstract namespace, which containers with processes of the same ids may share.
    return f"\0rayml-supervisor-{Path('/proc/self/ns/pid').stat().st_ino}-{pid}"


def _user(connection: socket.socket) -> int:
    """The user of the process at the other end."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])
