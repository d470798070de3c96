"""Errors of Ray Serve's proxy in the endpoint's own form; HAProxy's configuration does the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.middleware import Middleware

from rayml.serve.http.body import Message, Receive, declared
from rayml.serve.http.messages import Headers, Response, Scope, Send, error_response
from rayml.serve.http.request_id import HEADER
from rayml.serve.ingress.haproxy_config import GONE
from rayml.serve.ingress.haproxy_http import ALLOW, too_large
from rayml.serve.ingress.largest_body import largest_body
from rayml.serve.rayserve.middleware import RequestIds
from rayml.serve.rayserve.uvicorn_protocol import answer_in_json

App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A client must not choose how long a request may take, nor that it goes on without it.
_HEADERS_OF_SERVE = {b"x-request-timeout-seconds", b"x-request-disconnect-disabled"}


class ProxyErrors:
    """Answers as JSON what the proxy would answer as text.

    The proxy answers 404 before it knows the application, 408 and 503 where a replica does not,
    and nothing where the replica that had the request has ended: that gets 503, since to send a
    prediction again changes nothing.

    It also answers without a replica: 413 to a body that is declared too large, before it is sent,
    and `OPTIONS *`.

    Args:
        app: that of the proxy.
        max_body_bytes: a body declared to be larger is refused; None refuses none.
    """

    def __init__(self, app: App, max_body_bytes: int | None = None) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection as ASGI defines it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (answer := self._without_replica(scope)) is not None:
            await answer.send(send, ())
            return
        scope["headers"] = [each for each in scope["headers"] if each[0] not in _HEADERS_OF_SERVE]
        started = replaced = False

        async def send_json(message: Message) -> None:
            nonlocal started, replaced
            started = True
            if message["type"] == "http.response.start" and _is_text_error(message):
                replaced = True
                status = message["status"]
                await _answer(status, _text(status), scope).send(send, ())
            elif not replaced:
                await send(message)

        try:
            await self._app(scope, receive, send_json)
        finally:
            # Where the proxy sends nothing, its server would answer 500 as text.
            if not started:
                await _answer(503, GONE, scope).send(send, ())

    def _without_replica(self, scope: Scope) -> Response | None:
        if scope["method"] == "OPTIONS" and scope["path"] == "*":
            return Response(200, b"", b"text/plain", (*_name(scope), (b"allow", ALLOW.encode())))
        limit = self._max_body_bytes
        if limit is not None and declared(dict(scope["headers"])) > limit:
            return _answer(413, too_large(limit), scope)
        return None


def middlewares() -> list[Any]:
    """Middlewares of Serve's proxy, which finds this function by an environment variable."""
    answer_in_json()
    return [Middleware(RequestIds), Middleware(ProxyErrors, max_body_bytes=largest_body())]


def _is_text_error(message: Message) -> bool:
    kind: bytes = dict(message["headers"]).get(b"content-type", b"")
    return bool(message["status"] >= 400) and kind.startswith(b"text/plain")


def _answer(status: int, error: str, scope: Scope) -> Response:
    again = ((b"retry-after", b"1"),) if status in {429, 503} else ()
    return error_response(status, error, (*_name(scope), *again))


def _name(scope: Scope) -> Headers:
    # `RequestIds` has given the request its name.
    return tuple(each for each in scope["headers"] if each[0] == HEADER)


def _text(status: int) -> str:
    match status:
        case 404:
            return "there is no such path"
        case 408:
            return "the request took too long"
        case 503:
            return "too many requests wait, or no replica is ready"
        case _:
            known = status in set(HTTPStatus)
            return HTTPStatus(status).phrase.lower() if known else f"status {status}"
