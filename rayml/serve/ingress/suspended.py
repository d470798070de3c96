"""Takes replicas out of rotation whose processes are suspended (SIGSTOP, a debugger).

The kernel still accepts connections for such a process, so HAProxy would notice only by checks that
time out, and their timeout must be long for busy replicas. The process state in /proc is certain.
HAProxy then marks the server as down, until a check is answered again, and sends the server's open
requests to another one.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PERIOD_S = 0.5
"""Seconds between two looks."""

_LISTENS = "0A"
_STOPPED = frozenset("Tt")
_BACKEND = re.compile(r"^backend (\S+)\n((?:[ ].*\n|\n)*)", re.MULTILINE)
_SERVER = re.compile(r"^ *server (\S+) (\S+):(\d+) (?!.*\bbackup$)(?!.*\btrack ).*", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A replica as HAProxy knows it.

    Attributes:
        name: names of its backend and server, as `app/a`.
        host: address at which it listens.
        port: its port.
    """

    name: str
    host: str
    port: int


def servers(text: str) -> list[Server]:
    """The replicas in the rotation of a configuration."""
    return [
        Server(f"{backend}/{name}", host.strip("[]"), int(port))
        for backend, rest in _BACKEND.findall(text)
        for name, host, port in _SERVER.findall(rest)
    ]


class Suspensions:
    """Watches the processes of replicas on this machine.

    Args:
        watched: the replicas; those on other machines are ignored.
        say: sends a command to HAProxy.
    """

    def __init__(self, watched: Iterable[Server], say: Callable[[str], object]) -> None:
        self._watched = [each for each in watched if _is_here(each.host)]
        self._say = say
        self._pids: dict[int, int] = {}
        self._stopped: set[Server] = set()

    def look(self) -> None:
        """Take out the replicas that are suspended now and were at the last look."""
        self._find()
        stopped = {each for each in self._watched if _state(self._pids.get(each.port)) in _STOPPED}
        for each in sorted(stopped & self._stopped, key=lambda server: server.name):
            self._say(f"set server {each.name} health down")
            self._say(f"shutdown sessions server {each.name}")
        self._stopped = stopped

    def _find(self) -> None:
        """Find the processes of ports whose process is unknown or has ended."""
        lost = {each.port for each in self._watched if not _state(self._pids.get(each.port))}
        if lost and (inodes := _listening(lost)):
            self._pids.update(_holders(inodes))


def _is_here(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _state(pid: int | None) -> str:
    """The state letter of a process, as `ps` shows it; empty where it has ended."""
    if pid is None:
        return ""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _listening(ports: set[int]) -> dict[str, int]:
    """Ports by the socket that listens at them, named as the links in /proc/PID/fd are."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                (port,) = struct.unpack(">H", bytes.fromhex(fields[1].rpartition(":")[2]))
                if fields[3] == _LISTENS and port in ports:
                    found[f"socket:[{fields[9]}]"] = port
    return found


def _holders(sockets: dict[str, int]) -> dict[int, int]:
    """Process ids by port, of this user's processes that have one of the sockets open."""
    found: dict[int, int] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            for each in (process / "fd").iterdir():
                with suppress(OSError):
                    if (port := sockets.get(str(each.readlink()))) is not None:
                        found[port] = int(process.name)
    return found
