"""Passes the requests of a replica straight to its app, past Ray Serve's own handling of each.

Serve gives each request a name, a context, three tasks and several counts of its own, which take
longer than a prediction of one row. The count that it scales by is kept, see `ongoing`. The app
itself handles timeouts, clients that leave, limits and metrics.
"""

from __future__ import annotations

import logging
from typing import Any

from rayml.serve.http.body import Receive
from rayml.serve.http.messages import Scope, Send
from rayml.serve.rayserve.middleware import RequestIds
from rayml.serve.rayserve.ongoing import Ongoing

_log = logging.getLogger(__name__)
# Serve's own paths, by which HAProxy checks the replica's health.
_SERVES_OWN = "/-/"
_app: Any = None
_service: Any = None


def bypass_to(app: Any, service: Any) -> None:
    """Let the servers of this replica that start from now on ask its app and service directly.

    Args:
        app: of ASGI.
        service: of gRPC, see `InferenceService`.
    """
    global _app, _service
    _app, _service = app, service


def service() -> Any:
    """The service that answers the calls of gRPC in this process; None where Serve answers."""
    return _service


class Bypass:
    """The app that a replica's server asks, in place of Serve's.

    Args:
        app: that of Serve, a method of its replica, with Serve's middleware around it.
        to: the app that answers.

    Raises:
        ServeError: this Ray counts requests in progress in another way.
    """

    def __init__(self, app: Any, *, to: Any) -> None:
        self._serve = RequestIds(app)
        self._app = to
        self._ongoing = Ongoing(self._serve.app, "HTTP")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection as ASGI defines it."""
        if scope["type"] != "http" or scope["path"].startswith(_SERVES_OWN):
            await self._serve(scope, receive, send)
            return
        with self._ongoing:
            try:
                await self._app(scope, receive, send)
            except Exception:
                # Serve silences uvicorn, which would close the connection without a word.
                _log.exception("a request failed after its answer was made")
                raise


def middlewares() -> list[Any]:
    """Give Serve the middlewares of its HTTP servers; it finds this function by its name."""
    from starlette.middleware import Middleware

    return [Middleware(RequestIds) if _app is None else Middleware(Bypass, to=_app)]
