"""Reads bodies of requests up to a limit of bytes, both as sent and as decoded.

A body may be compressed by gzip or by deflate (RFC 9110, section 8.4.1). It is decoded as it
arrives, so that a small one that decodes to gigabytes costs no more than the limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rayml.errors import RequestError

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Bodies up to this size are bounded by the number of requests alone.
SMALL_BODY_BYTES = 64 * 2**10

# Of zlib: with the frame of gzip (RFC 1952), and with that of zlib (RFC 1950), which HTTP calls
# deflate.
_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": 15}
_ACCEPT_ENCODING = ((b"accept-encoding", b"gzip, deflate, identity"),)


class ClientGoneError(Exception):
    """The client closed the connection before its request was answered."""


class BodyRoom:
    """The bytes that larger bodies may hold in one replica, from arrival to answer.

    Args:
        limit: bytes at most.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, size: int) -> None:
        """Take room for further bytes.

        Raises:
            RequestError: 503 if there is none.
        """
        if size > self.left:
            raise RequestError(
                "too many large bodies wait",
                status=503,
                remedy="Send the request again later",
                headers=((b"retry-after", b"1"),),
            )
        self.left -= size

    def give(self, size: int) -> None:
        """Give room back."""
        self.left += size


async def read_body(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    *,
    limit: int,
    hold: Callable[[int], None],
) -> bytes:
    """Read the body of a request, no further than the limit.

    Args:
        headers: of the request.
        receive: gives the body's chunks.
        limit: bytes at most, both as sent and as decoded.
        hold: called with the bytes that a body larger than `SMALL_BODY_BYTES` holds in addition.

    Raises:
        RequestError: 413 as soon as the body is known to be larger, 415 if its encoding is
            unknown, 400 if it is not what its encoding says.
        ClientGoneError: the client left.
    """
    encoding = headers.get(b"content-encoding")
    decoder = _decoder(encoding, limit) if encoding is not None else None
    if declared(headers) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    sent = size = 0
    held = SMALL_BODY_BYTES
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        sent += len(chunk)
        if sent > limit:
            raise _too_large(limit)
        if decoder is not None:
            chunk = decoder.decode(chunk, last=not more)
        size += len(chunk)
        if size > held:
            hold(size - held)
            held = size
        chunks.append(chunk)
    return b"".join(chunks) if len(chunks) > 1 else chunk


def declared(headers: Mapping[bytes, bytes]) -> int:
    """Bytes of a body as its `Content-Length` declares them; 0 without one."""
    length = headers.get(b"content-length", b"0")
    return int(length[:20]) if length.isdigit() else 0


class _Decoder:
    """Decodes one compressed stream as it arrives.

    Several streams in a row, which gzip allows, are refused: each needs a new decoder, so that many
    empty ones would cost far more work than their bytes suggest.
    """

    def __init__(self, name: str, window_bits: int, limit: int) -> None:
        self._name = name
        self._stream = zlib.decompressobj(window_bits)
        self._limit = limit
        self._left = limit

    def decode(self, chunk: bytes, *, last: bool) -> bytes:
        try:
            decoded = self._stream.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise RequestError(
                f"the body is no {self._name}, as its Content-Encoding says ({error})", status=400
            ) from None
        if len(decoded) > self._left:
            raise _too_large(self._limit, "decoded ")
        self._left -= len(decoded)
        if self._stream.unused_data or (last and not self._stream.eof):
            rest = "goes on after" if self._stream.eof else "ends within"
            raise RequestError(
                f"the body {rest} its stream of {self._name}",
                status=400,
                remedy="Send one whole stream",
            )
        return decoded


def _decoder(encoding: bytes, limit: int) -> _Decoder | None:
    encoding = encoding.strip().lower()
    if encoding in {b"identity", b""}:
        return None
    name = encoding.decode("latin-1")
    if encoding not in _WINDOW_BITS:
        raise RequestError(
            f"the Content-Encoding {name!r} is not supported",
            status=415,
            remedy="Use gzip, deflate or identity",
            headers=_ACCEPT_ENCODING,
        )
    return _Decoder(name, _WINDOW_BITS[encoding], limit)


def _too_large(limit: int, decoded: str = "") -> RequestError:
    return RequestError(
        f"the {decoded}body has more than {limit} bytes",
        status=413,
        remedy="Send the rows in several requests",
    )
