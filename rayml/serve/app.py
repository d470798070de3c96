"""The endpoint as a plain ASGI app: one fused path from the body to the answer.

It is no FastAPI app, since routing, dependency solving and response models cost several times
more than a prediction of one row; the typed OpenAPI document is made from the signature.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from rayml.errors import RequestError
from rayml.serve.body import BodyRoom, ClientGoneError, Receive
from rayml.serve.http import (
    Request,
    Response,
    Scope,
    Send,
    error_response,
    refusal,
)
from rayml.serve.routes import Route, Router
from rayml.serve.served import ServedModel
from rayml.serve_settings import ServeSettings

_log = logging.getLogger(__name__)
_RETRY_AFTER = ((b"retry-after", b"1"),)


class Serving(Protocol):
    """The versions that an endpoint serves now."""

    def choose(self, request: Request) -> ServedModel:
        """Choose the version that answers a request."""
        ...

    def close(self) -> None:
        """End once what was taken in is answered."""
        ...


class OneVersion:
    """Serves one version to everybody."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def choose(self, request: Request) -> ServedModel:  # noqa: ARG002
        """Choose the version that answers a request."""
        return self._model

    def close(self) -> None:
        """End once what was taken in is answered."""
        self._model.close()


class EndpointApp:
    """Answers over ASGI for the versions that are served.

    `held` counts the requests for a model's work that it has taken in and not answered yet.

    Args:
        serving: the versions; they exist, so an app that exists is ready.
        settings: limits.
        router: what answers which path.
    """

    def __init__(
        self, serving: Serving, *, settings: ServeSettings, router: Router | None = None
    ) -> None:
        self._serving = serving
        self._settings = settings
        self._router = router or Router()
        self.held = 0
        self._room = BodyRoom(settings.max_held_bytes)
        self._capacity = settings.max_ongoing_requests + settings.max_queued_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection as ASGI defines it."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case _:
                await send({"type": "websocket.close"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(
            scope, receive, max_body_bytes=self._settings.max_body_bytes, room=self._room
        )
        model = self._serving.choose(request)
        try:
            response = await self._respond(request, model)
        except ClientGoneError:
            return
        await response.send(send, model.headers)

    async def _respond(self, request: Request, model: ServedModel) -> Response:
        found = self._router.find(request.path)
        if found is None:
            paths = ", ".join(self._router.paths)
            return error_response(404, f"there is no {request.path}. Paths are: {paths}")
        route, request.parameters = found
        if request.method not in route.methods:
            return _wrong_method(route)
        if route.method == "GET":
            return await self._attempt(route, request, model)
        if not route.predicts:
            return await self._in_time(route, request, model)
        if self.held >= self._capacity:
            return error_response(503, "too many requests wait", _RETRY_AFTER)
        self.held += 1
        try:
            return await self._in_time(route, request, model)
        finally:
            self.held -= 1

    async def _in_time(self, route: Route, request: Request, model: ServedModel) -> Response:
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                return await self._attempt(route, request, model)
        except TimeoutError:
            seconds = self._settings.request_timeout_s
            return error_response(408, f"the request took longer than {seconds:g} s")
        finally:
            request.close()

    @staticmethod
    async def _attempt(route: Route, request: Request, model: ServedModel) -> Response:
        try:
            return await route.answer(request, model)
        except RequestError as error:
            return refusal(error)
        except (ClientGoneError, TimeoutError):
            raise
        except Exception:  # noqa: BLE001 (the process edge: a client learns that, not why)
            _log.exception("a request failed")
            return error_response(500, "the model failed on this request")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._serving.close()
        await send({"type": "lifespan.shutdown.complete"})


def _wrong_method(route: Route) -> Response:
    allowed = ", ".join(route.methods)
    headers = ((b"allow", allowed.encode()),)
    return error_response(405, f"{route.path} answers {allowed} only", headers)
