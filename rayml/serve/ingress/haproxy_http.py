"""What HAProxy itself answers over HTTP, before the body of a request is waited for.

A body that is declared too large is refused at once, also where its client waits to be told to go
on (`Expect: 100-continue`), since HAProxy would tell it to before any replica is asked.
"""

from __future__ import annotations

import json

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
# These reach a replica, which says what a path takes.
_KNOWN = (*METHODS, "PUT", "DELETE", "PATCH", "TRACE")
ALLOW = ", ".join(METHODS)
UNKNOWN_METHOD = f"this is no method that the endpoint knows; it answers {ALLOW}"


def too_large(limit: int) -> str:
    """What is said of a body of more bytes."""
    return f"the body has more than {limit} bytes. Send the rows in several requests"


def said(error: str) -> str:
    """An error as the argument of a rule that answers."""
    return f"content-type application/json string '{json.dumps({'error': error})}'"


def rules(*, max_body_bytes: int | None, arrival_s: float, buffer_bytes: int) -> str:
    """The rules of a frontend, in their order.

    Args:
        max_body_bytes: a body declared to be larger is refused; None refuses none.
        arrival_s: seconds in which a body, as far as it is waited for, must arrive.
        buffer_bytes: that a buffer holds; a body is waited for until it is full.
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
