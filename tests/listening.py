"""What the processes of an endpoint listen on, as the kernel tells it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.processes import descendants

LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel shows it."""

_NAMES = ("haproxy", "ray::ServeRepl", "ray::ProxyActor")


def processes() -> list[Path]:
    """Those of the endpoint in /proc: below this test's own, by name."""
    found = [Path("/proc") / str(pid) for pid in descendants(os.getpid())]
    return [path for path in found if name_of(path).startswith(_NAMES)]


def name_of(process: Path) -> str:
    """The name of a process, of 15 characters at most; empty if it has ended."""
    try:
        return (process / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def listening(process: Path) -> set[tuple[str, int]]:
    """Addresses and ports."""
    held = {str(link.readlink()) for link in (process / "fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == "0A" and f"socket:[{line.split()[9]}]" in held:
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


def beyond() -> list[tuple[str, int]]:
    """Name and port of each process of the endpoint that other machines can reach.

    Ray's own part of a process is one: it listens at one port, and asks for Ray's token.
    """
    return [
        (name_of(process), port)
        for process in processes()
        for address, port in listening(process)
        if address != LOOPBACK
    ]


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: finds the address of the outgoing side
        address: str = probe.getsockname()[0]
        return address
