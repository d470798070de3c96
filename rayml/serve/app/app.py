"""The endpoint as a plain ASGI app: one fused path from the body to the answer.

It uses no web framework: routing, dependency solving and response models would cost several times
more than a prediction of one row. The typed OpenAPI document is made from the signature.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from rayml.errors import RequestError
from rayml.serve.access.guard import Access, Guard, refusal_headers, token_of
from rayml.serve.access.site import Site
from rayml.serve.app.routes import Route, Router
from rayml.serve.http.body import BodyRoom, ClientGoneError, Receive
from rayml.serve.http.deadline import Deadline
from rayml.serve.http.messages import (
    Headers,
    Request,
    Response,
    Scope,
    Send,
    error_response,
    refusal,
)
from rayml.serve.http.request_id import HEADER as REQUEST_ID
from rayml.serve.http.request_record import CLIENT_GONE, Observer, ignore
from rayml.serve.model.serving import Serving
from rayml.serve.observe.request_counts import Load
from rayml.settings.serve import ServeSettings

_log = logging.getLogger(__name__)
_RETRY_AFTER = ((b"retry-after", b"1"),)
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")


class EndpointApp:
    """Answers over ASGI for the versions that are served.

    `held` counts the requests for predictions that are taken in and not answered.

    Args:
        serving: the versions; they exist, so an app that exists is ready.
        settings: limits.
        router: what answers which path.
        guard: checks keys and rates; by default every request passes.
        site: host names that it answers to, and origins whose pages may ask it; by default all.
        observe: takes the record of each request.
        close: called when the app ends.
    """

    def __init__(
        self,
        serving: Serving,
        *,
        settings: ServeSettings,
        router: Router | None = None,
        guard: Guard | None = None,
        site: Site | None = None,
        observe: Observer = ignore,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._observe = observe
        self._close = close
        self._serving = serving
        self._settings = settings
        self._router = router or Router()
        self._guard = guard or Guard(None, None)
        self._site = site
        self.held = 0
        self._room = BodyRoom(settings.max_held_bytes)
        self._capacity = settings.max_ongoing_requests + settings.max_queued_requests

    def load(self) -> Load:
        """Requests in progress, capacity, and versions."""
        return Load(self.held, self._capacity, self._serving.models())

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
        response: Response | None = None
        try:
            try:
                response = await self._respond(request)
            except ClientGoneError:
                raise
            except Exception:  # noqa: BLE001 (a client learns that it failed, not why)
                response = _failure(request, "endpoint")
            model = request.model or self._serving.champion
            headers: Headers = (*model.headers, (REQUEST_ID, request.id.encode()))
            if self._site is not None and self._site.shared:
                headers += self._site.headers(request.headers)
            await response.send(send, headers)
        except ClientGoneError:
            pass
        finally:
            # A request that is cancelled, as Serve does when its client left, counts too.
            status, size = (response.status, len(response.body)) if response else (CLIENT_GONE, 0)
            self._observe(request.record(request.model or self._serving.champion, status, size))

    async def _respond(self, request: Request) -> Response:
        if (answer := self._before_keys(request)) is not None:
            return answer
        found = self._router.find(request.path)
        if not self._guard.open:
            refused = self._refused(request, "predict" if found is None else found[0].scope)
            if refused is not None:
                return refused
        if found is None:
            return self._nowhere(request)
        route, request.parameters = found
        request.route = route.path
        if request.method not in route.methods:
            if request.method == "OPTIONS":
                return _allowed((*route.methods, "OPTIONS"))
            return _wrong_method(request.method, route)
        return await self._admit(route, request)

    def _before_keys(self, request: Request) -> Response | None:
        """The answer that needs no key: to foreign hosts and origins, and to `OPTIONS`.

        A browser asks by `OPTIONS`, without a key, before a page may ask. The answer is the same
        for every path, so that it shows none.
        """
        site = self._site
        if site is not None and (refused := site.refusal(request)) is not None:
            return refused
        if request.method != "OPTIONS":
            return None
        answer = site.preflight(request, _METHODS) if site is not None else None
        return answer or (_allowed(_METHODS) if request.path == "*" else None)

    def _nowhere(self, request: Request) -> Response:
        paths = ", ".join(self._router.paths)
        return error_response(404, f"there is no {request.path[:200]}. Paths are: {paths}")

    async def _admit(self, route: Route, request: Request) -> Response:
        if not route.predicts:
            return await self._attempt(route, request)
        if self.held >= self._capacity:
            return error_response(503, "too many requests wait", _RETRY_AFTER)
        self.held += 1
        try:
            return await self._attempt(route, request)
        finally:
            self.held -= 1

    def _refused(self, request: Request, access: Access) -> Response | None:
        token = token_of(request.headers, access)
        decision = self._guard.check(token, access, request.address)
        request.holder = decision.name
        if decision.status == 200:
            return None
        headers = refusal_headers(decision, access)
        return error_response(decision.status, decision.reason, headers)

    async def _attempt(self, route: Route, request: Request) -> Response:
        seconds = self._settings.request_timeout_s
        try:
            with Deadline(seconds, request.receive, request.is_read):
                if route.predicts:
                    model = await self._serving.choose(request)
                    request.chosen = True
                else:
                    model = self._serving.described(request)
                    request.versions = tuple(each.version for each in self._serving.models())
                request.model = model
                return await route.answer(request, model)
        except RequestError as error:
            return refusal(error)
        except TimeoutError:
            return error_response(408, f"the request took longer than {seconds:g} s")
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001 (a model may raise anything; guards count it)
            return _failure(request, "model")
        finally:
            request.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._serving.close()
        if self._close is not None:
            self._close()
        await send({"type": "lifespan.shutdown.complete"})


def _failure(request: Request, what: str) -> Response:
    _log.exception("request %s failed", request.id, extra={"request": request.id})
    return error_response(500, f"the {what} failed on this request")


def _wrong_method(method: str, route: Route) -> Response:
    allowed = ", ".join(route.methods)
    headers = ((b"allow", f"{allowed}, OPTIONS".encode()),)
    return error_response(
        405, f"{route.path} does not answer {method[:20]}; it answers {allowed}", headers
    )


def _allowed(methods: Sequence[str]) -> Response:
    return Response(200, b"", b"text/plain", ((b"allow", ", ".join(methods).encode()),))
