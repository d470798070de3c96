"""Counts HAProxy's open requests, until HAProxy ends."""

from __future__ import annotations

import socket
from pathlib import Path

from rayml.serve.ingress.haproxy_grpc import STREAMS_SUFFIX


class Monitor:
    """A connection to the admin socket; it stays open when HAProxy stops listening."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(5)
        self._connection.connect(str(path))
        self._connection.sendall(b"prompt\n")
        self._read()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def requests(self) -> int:
        """Number of open requests, without streams, which may last for ever."""
        try:
            self._connection.sendall(b"show stat -1 2 -1\n")
            lines = self._read().splitlines()
        except OSError:  # HAProxy has ended
            return 0
        rows = [line.split(",") for line in lines if ",BACKEND," in line]
        return sum(int(row[4] or 0) for row in rows if not row[0].endswith(STREAMS_SUFFIX))

    def _read(self) -> str:
        data = b""
        while not data.endswith(b"\n> "):
            part = self._connection.recv(65536)
            if not part:
                break
            data += part
        return data.decode()
