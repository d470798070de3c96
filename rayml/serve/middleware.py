"""What Serve's HTTP servers put around an app, without what the app does itself."""

from __future__ import annotations

from typing import Any


def middlewares() -> list[Any]:
    """Give Serve the middlewares of its HTTP servers; it finds this function by its name."""
    from starlette.middleware import Middleware

    return [Middleware(_own_request_ids)]


def _own_request_ids(app: Any) -> Any:
    """Take off Serve's request ids, which it gives in front of all other middlewares.

    It would answer with an id of any form and length, and with a second one beside ours, at the
    cost of two parsed sets of headers.
    """
    from ray.serve._private.http_util import RequestIdMiddleware

    return app._app if isinstance(app, RequestIdMiddleware) else app  # noqa: SLF001
