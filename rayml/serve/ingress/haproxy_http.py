"""The HTTP requests that HAProxy answers itself, before it waits for a body.

A body whose declared size is too large is refused at once, also for `Expect: 100-continue`, since
HAProxy would answer 100 before a replica sees the request.
"""

from __future__ import annotations

import json

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
# These reach a replica, which knows the methods of each path.
_KNOWN = (*METHODS, "PUT", "DELETE", "PATCH", "TRACE")
ALLOW = ", ".join(METHODS)
UNKNOWN_METHOD = f"the method is unknown; the endpoint answers {ALLOW}"


def too_large(limit: int) -> str:
    """The message that refuses a body of more than `limit` bytes."""
    return f"the body has more than {limit} bytes. Send the rows in several requests"


def said(error: str) -> str:
    """A JSON error as the arguments of an HAProxy `return` rule."""
    return f"content-type application/json string '{json.dumps({'error': error})}'"


def rules(*, max_body_bytes: int | None, arrival_s: float, buffer_bytes: int) -> str:
    """The rules of a frontend, in their order.

    Args:
        max_body_bytes: a body declared to be larger is refused; None for no limit.
        arrival_s: seconds in which a body, or its part that fills the buffer, must arrive.
        buffer_bytes: size of HAProxy's buffer, which it fills before it asks a replica.
    """
    lines = [
        f"http-request return status 501 {said(UNKNOWN_METHOD)} hdr Allow '{ALLOW}' "
        f"if !{{ method {' '.join(_KNOWN)} }}",
        f"http-request return status 200 hdr Allow '{ALLOW}' if METH_OPTIONS {{ url * }}",
    ]
    if max_body_bytes is not None:
        lines.append(
            f"http-request return status 413 {said(too_large(max_body_bytes))} "
            f"if {{ req.body_size gt {max_body_bytes} }}"
        )
    lines.append(f"http-request wait-for-body time {arrival_s:g}s at-least {buffer_bytes}")
    return "".join(f"    {line}\n" for line in lines)
