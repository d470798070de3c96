"""Answers compressed by gzip or deflate where the client accepts it (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

from rayml.serve.http.messages import Response

MIN_BYTES = 1024
"""Smaller answers are sent as they are: they fit one packet either way."""

# Of zlib: with the frame of gzip (RFC 1952), and that of zlib (RFC 1950), which HTTP calls deflate.
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def compressed(response: Response, headers: Mapping[bytes, bytes]) -> Response:
    """Compress an answer if the client accepts it and it is worth it.

    Args:
        response: the answer.
        headers: of the request, by names in lower case.
    """
    accepted = headers.get(b"accept-encoding")
    if accepted is None or len(response.body) < MIN_BYTES:
        return response
    encoding = choose(accepted.decode("latin-1"))
    if encoding is None:
        return response
    # At the lowest level, as an endpoint spends more on computing than its clients on receiving.
    stream = zlib.compressobj(level=1, wbits=_WINDOW_BITS[encoding])
    body = stream.compress(response.body) + stream.flush()
    added = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return replace(response, body=body, headers=(*response.headers, *added))


def choose(accepted: str) -> str | None:
    """The encoding that a client likes best, gzip before deflate; None for none of them."""
    weights = {}
    for part in accepted.lower().split(",")[:20]:
        name, _, parameters = part.partition(";")
        weights[name.strip()] = _weight(parameters)
    liked = {name: weights.get(name, weights.get("*", 0.0)) for name in _WINDOW_BITS}
    best = max(liked, key=lambda name: liked[name])
    return best if liked[best] > 0 else None


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
