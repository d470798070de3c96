"""Messages between processes that share a pair of sockets: a line of JSON each."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

Message = dict[str, Any]


class Messages:
    """One end of a pair of sockets.

    Args:
        end: one socket of the pair; `close` closes it.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._unread = b""

    @classmethod
    def inherited(cls, descriptor: int) -> Messages:
        """The end that the parent process passed to this one; children do not inherit it."""
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Descriptor for `select`: readable once a message has come or the other end is closed."""
        return self._end.fileno()

    def send(self, message: Message) -> bool:
        """Send a message; returns whether the other end is open."""
        try:
            self._end.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """Wait for a message; None if the other end is closed."""
        while b"\n" not in self._unread:
            try:
                part = self._end.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        message: Message = json.loads(line)
        return message

    @property
    def pending(self) -> bool:
        """Whether a whole message has been read from the socket already."""
        return b"\n" in self._unread

    def close(self) -> None:
        """Close this end; the other one then receives None."""
        self._end.close()


def pair() -> tuple[Messages, socket.socket]:
    """Both ends: one for this process, and a socket for a child."""
    own, other = socket.socketpair()
    return Messages(own), other
