"""Hands an answer of uvicorn to the kernel in one piece, and its errors in the endpoint's form.

uvicorn writes the head of an answer and then its body, each by a call of its own. The first wakes
the reader, HAProxy or a client, for half an answer, which costs as much as a small forward pass.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import httptools
from pydantic_core import to_json

from rayml.errors import ServeError
from rayml.serve.ingress.haproxy_http import ALLOW, UNKNOWN_METHOD
from rayml.serve.rayserve.private_names import REMEDY, Private

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
else:
    HttpToolsProtocol = Private.HTTP_PROTOCOL.find()

# Of 100 (continue): the client sends no body before it has come.
_INTERIM = b"HTTP/1.1 1"
_UNREADABLE = "the request cannot be read as HTTP/1.1"
# Larger ones are handed on as they are: to copy them costs more than a call.
_LARGEST_COPY = 65536


class JoinedWrites:
    """A transport that holds the head of an answer until something of its body follows.

    Args:
        transport: that is written to.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = b""
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        """All other attributes of the transport."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, together with the head that is held; the first of an answer is its head."""
        head, self._head = self._head, b""
        if not self._begun and not data.startswith(_INTERIM):
            self._begun = True
            self._head = data
        elif head and len(data) <= _LARGEST_COPY:
            self._write(head + data)
        elif head:
            self._transport.writelines((head, data))
        else:
            self._write(data)

    def end(self) -> None:
        """End an answer, also one of a head alone; what is written next is another."""
        head, self._head = self._head, b""
        self._begun = False
        if head:
            self._write(head)

    def close(self) -> None:
        """Close once all is written."""
        self.end()
        self._transport.close()


class JsonErrors(HttpToolsProtocol):
    """uvicorn's protocol, with errors in JSON for bytes that are no request."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's own words)
        """Refuse bytes that cannot be parsed; called while the parser's error is handled."""
        unknown = isinstance(sys.exception(), httptools.HttpParserInvalidMethodError)
        body = to_json({"error": UNKNOWN_METHOD if unknown else _UNREADABLE})
        head = [
            "HTTP/1.1 501 Not Implemented" if unknown else "HTTP/1.1 400 Bad Request",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "x-content-type-options: nosniff",
            *([f"allow: {ALLOW}"] if unknown else []),
            "connection: close",
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()


class OneWriteProtocol(JsonErrors):
    """The same, whose answers are written at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a connection."""
        self._joined = JoinedWrites(transport)
        super().connection_made(self._joined)  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """End an answer; one to `HEAD` has had no body."""
        self._joined.end()
        super().on_response_complete()


def write_answers_at_once() -> None:
    """Let uvicorn's servers that start in this process from now on do so.

    Serve makes the servers and has no option for the protocol.

    Raises:
        ServeError: this uvicorn chooses its protocol in another way.
    """
    _choose(OneWriteProtocol)


def answer_in_json() -> None:
    """Let uvicorn's servers that start in this process from now on refuse in JSON.

    Raises:
        ServeError: this uvicorn chooses its protocol in another way.
    """
    _choose(JsonErrors)


def _choose(protocol: type[HttpToolsProtocol]) -> None:
    protocols: dict[str, Any] = Private.HTTP_PROTOCOLS.find()
    if "auto" not in protocols:
        raise ServeError(
            "uvicorn has no HTTP protocol named 'auto'", found=sorted(protocols), remedy=REMEDY
        )
    protocols["auto"] = f"{__name__}:{protocol.__name__}"
