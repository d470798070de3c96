"""Requests to an app without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import Route
from rayml.serve.http.paths import METRICS
from rayml.serve.observe.recorder import Recorder


def call(
    app: EndpointApp, method: str, path: str, *, address: str = "127.0.0.1", **arguments: Any
) -> httpx.Response:
    """Ask an app as a server does for one request, and await its whole answer.

    Args:
        app: that answers.
        method: of HTTP.
        path: with its query.
        address: of the client.
        arguments: as `httpx.AsyncClient.request` takes them.
    """

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(address, 1))  # type: ignore[arg-type]
        # httpx would ask for compressed answers by itself.
        plain = {"accept-encoding": "identity"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=plain
        ) as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(send())


def metrics_route(recorder: Recorder) -> Route:
    """The route of `/metrics`, as a replica adds it."""
    return Route("GET", METRICS, recorder.page, scope="admin")
