"""Middleware of Serve's HTTP servers: request ids that are well-formed, one for each answer."""

from __future__ import annotations

from typing import Any

from rayml.serve.http.body import Receive
from rayml.serve.http.messages import Scope, Send
from rayml.serve.http.request_id import HEADER, request_id
from rayml.serve.rayserve.private_names import Private, attribute


class RequestIds:
    """Gives each request its id before Serve reads it, and removes Serve's own middleware for that.

    Serve would answer with an id of any length, fail on one that is not UTF-8, and put a second
    one beside the app's own, at the cost of two parsed sets of headers.

    Args:
        app: of ASGI, with Serve's middleware around it, which comes in front of all others.
    """

    def __init__(self, app: Any) -> None:
        named = isinstance(app, Private.REQUEST_ID_MIDDLEWARE.find())
        self.app = attribute(app, "_app") if named else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        if scope["type"] == "http":
            headers: dict[bytes, bytes] = dict(scope["headers"])
            name = request_id(headers).encode()
            if headers.get(HEADER) != name:
                others = [each for each in scope["headers"] if each[0] != HEADER]
                scope["headers"] = [*others, (HEADER, name)]
        await self.app(scope, receive, send)
