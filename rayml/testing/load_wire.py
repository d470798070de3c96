"""The HTTP client of a load: keep-alive connections that report how each exchange ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response.

    Attributes:
        status: HTTP status.
        headers: values by name in lower case.
        body: decoded from its transfer coding.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Asker(Protocol):
    """What a connection reports to; exactly one of the two is called for each exchange."""

    def answered(self, reply: Reply) -> None:
        """Handle a complete response."""
        ...

    def broken(self, reason: str) -> None:
        """Handle a connection that ended before its response was complete."""
        ...


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request on its way at most.

    Args:
        idle: called whenever it can take a request, once it is open.
        gone: called when it has ended.
    """

    def __init__(
        self, idle: Callable[[Connection], None], gone: Callable[[Connection], None]
    ) -> None:
        self._idle = idle
        self._gone = gone
        self._asker: Asker | None = None
        self._buffer = bytearray()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open; asyncio calls it."""
        self._transport = cast("asyncio.Transport", transport)
        self._idle(self)

    def send(self, request: bytes, asker: Asker) -> None:
        """Send a request whose response goes to `asker`."""
        self._asker = asker
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection at once; an open request gets no report."""
        self._asker = None
        self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether it can take a request."""
        return self._asker is None and not self._ended and not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """A part of a response has come; asyncio calls it."""
        self._buffer += data
        self._read(closed=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; asyncio calls it."""
        self._ended = True
        if self._asker is not None:
            self._read(closed=True)
        if self._asker is not None:
            asker, self._asker = self._asker, None
            started = "in its response" if self._buffer else "without a response"
            asker.broken(f"{type(exc).__name__ if exc else 'closed'} {started}")
        self._gone(self)

    def _read(self, *, closed: bool) -> None:
        reply = parse(bytes(self._buffer), closed=closed) if self._asker else None
        if reply is None or self._asker is None:
            return
        self._buffer.clear()
        asker, self._asker = self._asker, None
        last = closed or reply.headers.get(b"connection", b"").lower() == b"close"
        if last and not closed:
            self._transport.close()
        asker.answered(reply)
        if not last and self.usable:
            self._idle(self)


def parse(data: bytes, *, closed: bool) -> Reply | None:
    """Parse a response.

    Args:
        data: the bytes received so far.
        closed: whether the connection is closed, so that no more bytes follow.

    Returns:
        The response; None while it is incomplete.
    """
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    start, *lines = head.split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = _body(headers, rest, closed=closed)
    return None if body is None else Reply(int(start.split(b" ", 2)[1]), headers, body)


def _body(headers: dict[bytes, bytes], rest: bytes, *, closed: bool) -> bytes | None:
    if (length := headers.get(b"content-length")) is not None:
        return rest[: int(length)] if len(rest) >= int(length) else None
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return rest if closed else None
    chunks: list[bytes] = []
    while True:
        size, separator, rest = rest.partition(b"\r\n")
        if not separator:
            return None
        count = int(size.partition(b";")[0], 16)
        if len(rest) < count + 2:
            return None
        if count == 0:
            return b"".join(chunks)
        chunks.append(rest[:count])
        rest = rest[count + 2 :]
