"""Which function answers which path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rayml.serve.access.guard import Access
from rayml.serve.app.explain import explain
from rayml.serve.app.health import alive, described, ready
from rayml.serve.app.open_inference import (
    described_model,
    infer,
    model_ready,
    server_live,
    server_metadata,
    server_ready,
)
from rayml.serve.app.page import page
from rayml.serve.app.predict import predict
from rayml.serve.grpc.infer import INFER_PATH, grpc_infer
from rayml.serve.http.messages import Request, Response
from rayml.serve.model.served import ServedModel
from rayml.serve.openapi.docs import ASSETS

Answerer = Callable[[Request, ServedModel], Awaitable[Response]]
_PARAMETER = re.compile(r"\\\{(\w+)\\\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A path and the function that answers it.

    Attributes:
        method: of HTTP; GET includes HEAD.
        path: literal, or with parameters as `/v2/models/{name}`, each a part between slashes.
        answer: makes the answer; it may raise `RequestError`.
        predicts: whether it predicts, and so counts against the capacity of a replica.
        scope: that a key needs where keys are required; `open` needs no key.
    """

    method: Literal["GET", "POST"]
    path: str
    answer: Answerer
    predicts: bool = False
    scope: Access = "predict"

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of HTTP that it answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


ROUTES = (
    Route("GET", "/", page, scope="open"),
    Route("GET", "/healthz", alive, scope="open"),
    Route("GET", "/readyz", ready, scope="open"),
    Route("POST", "/predict", predict, predicts=True),
    Route("POST", "/explain", explain, predicts=True),
    Route("GET", "/v2", server_metadata),
    Route("GET", "/v2/", server_metadata),
    Route("GET", "/v2/health/live", server_live, scope="open"),
    Route("GET", "/v2/health/ready", server_ready, scope="open"),
    *(
        route
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
        for route in (
            Route("GET", path, described_model),
            Route("GET", f"{path}/ready", model_ready),
            Route("POST", f"{path}/infer", infer, predicts=True),
        )
    ),
    Route("GET", "/metadata", described),
    Route("GET", "/openapi.json", described),
    Route("GET", "/docs", described),
    *(Route("GET", f"/docs/{name}", described) for name in ASSETS),
    Route("POST", INFER_PATH, grpc_infer, predicts=True),
    Route("POST", f"{INFER_PATH}/{{version}}", grpc_infer, predicts=True),
)


class Router:
    """Finds the route of a path."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        self.paths: tuple[str, ...] = ()
        self._literal: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            self.paths += (route.path,)
            if "{" in route.path:
                pattern = _PARAMETER.sub(r"(?P<\1>[^/]+)", re.escape(route.path))
                self._patterns.append((re.compile(pattern), route))
            else:
                self._literal[route.path] = route

    def find(self, path: str) -> tuple[Route, dict[str, str]] | None:
        """Find a path's route and its parameters; None for an unknown path."""
        if (route := self._literal.get(path)) is not None:
            return route, {}
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(path):
                return route, match.groupdict()
        return None
