"""Takes the requests of a replica straight to its app, past what Ray Serve does around each.

Serve gives each request a name, a context, three tasks and several counts of its own, which take
longer than a prediction of one row. What it goes by is kept: how many requests are in hand, for
autoscaling and for a shutdown that waits for them. Time, a client that leaves, what is too much and
the metrics are the app's own affair.
"""

from __future__ import annotations

import logging
from typing import Any

from rayml.errors import ServeError
from rayml.serve.body import Receive
from rayml.serve.http import Scope, Send
from rayml.serve.middleware import RequestIds

_log = logging.getLogger(__name__)
# Of Serve: HAProxy asks them whether the replica is well.
_SERVES_OWN = "/-/"
_app: Any = None


def answer_directly(app: Any) -> None:
    """Let the servers of this replica that start from now on ask an app of ASGI themselves."""
    global _app  # noqa: PLW0603 (a process holds one replica, and Serve makes its middlewares)
    _app = app


class Direct:
    """What a replica's server asks, in place of Serve.

    Args:
        app: that of Serve, a method of its replica, with Serve's middleware around it.
        to: the app that answers.

    Raises:
        ServeError: this Ray counts the requests of a replica in another way.
    """

    def __init__(self, app: Any, *, to: Any) -> None:
        self._serve = RequestIds(app)
        self._app = to
        try:
            replica = self._serve.app.__self__
            metrics = replica._metrics_manager  # noqa: SLF001
            self._begin, self._end = (
                metrics.inc_num_ongoing_requests,
                metrics.dec_num_ongoing_requests,
            )
            self._kind = _kind(replica._deployment_id.app_name)  # noqa: SLF001
        except AttributeError as error:
            raise ServeError(
                f"Ray Serve is told how many requests a replica has in hand ({error})",
                remedy="Use the Ray that rayml's lock file names, or serve.ray_metrics=true",
            ) from error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection as ASGI defines it."""
        if scope["type"] != "http" or scope["path"].startswith(_SERVES_OWN):
            await self._serve(scope, receive, send)
            return
        self._begin(self._kind)
        try:
            await self._app(scope, receive, send)
        except Exception:
            # Serve silences uvicorn, which would close the connection without a word.
            _log.exception("a request failed after its answer was made")
            raise
        finally:
            self._end(self._kind)


def _kind(application: str) -> Any:
    """Serve's description of a request, as far as it counts it by."""
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    return RequestMetadata(
        request_id="",
        internal_request_id="",
        app_name=application,
        _request_protocol=RequestProtocol.HTTP,
        is_direct_ingress=True,
    )


def middlewares() -> list[Any]:
    """Give Serve the middlewares of its HTTP servers; it finds this function by its name."""
    from starlette.middleware import Middleware

    return [Middleware(RequestIds) if _app is None else Middleware(Direct, to=_app)]
