"""What Serve's HTTP servers put around the app."""

from __future__ import annotations

from starlette.middleware import Middleware

from rayml.serve.middleware import middlewares


async def app(scope: object, receive: object, send: object) -> None:
    """An app."""


def test_serves_own_request_ids_are_taken_off_and_nothing_else() -> None:
    from ray.serve._private.http_util import _apply_middlewares, validate_http_proxy_callback_return

    (ours,) = validate_http_proxy_callback_return(middlewares())
    assert isinstance(ours, Middleware)
    assert _apply_middlewares(app, [ours]) is app
