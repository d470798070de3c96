"""The id of a request: the client's own, that of its trace, or one that is made here."""

from __future__ import annotations

import random
from collections.abc import Mapping

HEADER = b"x-request-id"
_TRACEPARENT = b"traceparent"
_LONGEST = 128
_HEX = b"0123456789abcdef"
_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=@"
# Ids are names, no secrets, and `uuid4` costs ten times as much.
_random = random.Random(random.SystemRandom().getrandbits(128))  # noqa: S311


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """Take the id of a request from its headers, else make one.

    `X-Request-Id` counts if it has 1 to 128 letters, digits or `-_.:/+=@`; otherwise the trace
    id of a W3C `traceparent` (https://www.w3.org/TR/trace-context/), whose form a new one has
    too.
    """
    given = headers.get(HEADER)
    if given and len(given) <= _LONGEST and not given.translate(None, _SAFE):
        return given.decode("ascii")
    parent = headers.get(_TRACEPARENT)
    if parent is not None and (parts := trace_parts(parent)) is not None:
        return parts[0]
    return f"{_random.getrandbits(128):032x}"


def trace_parts(parent: bytes) -> tuple[str, str, bool] | None:
    """Split a `traceparent` into trace id, span id and whether it is sampled; None if malformed."""
    parts = parent.split(b"-")
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    version, trace, span, flags = parts[:4]
    hexadecimal = not b"".join(parts[:4]).translate(None, _HEX)
    # Version 00 has four parts, later ones may have more; ff is forbidden, as are ids of zeros.
    if not hexadecimal or version == b"ff" or (version == b"00" and len(parts) > 4):
        return None
    if not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return trace.decode(), span.decode(), bool(int(flags, 16) & 1)
