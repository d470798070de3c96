"""The endpoint as a plain ASGI app: one fused path from the body to the answer.

It is no FastAPI app, since routing, dependency solving and response models cost several times
more than a prediction of one row; the typed OpenAPI document is made from the signature.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from rayml.errors import RequestError
from rayml.serve.batching import MicroBatcher, loop_rows
from rayml.serve.docs import docs_pages
from rayml.serve.http import (
    ClientGoneError,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    json_response,
    read_body,
    refusal,
)
from rayml.serve.openapi import openapi
from rayml.serve.predictor import Predictor
from rayml.serve.request import RequestParser
from rayml.types import ServeSettings

if TYPE_CHECKING:
    from rayml.serve.answer import Answer
    from rayml.serve.request import Row

_log = logging.getLogger(__name__)
_RETRY_AFTER = ((b"retry-after", b"1"),)


class PredictionApp:
    """Serves one version of a model over ASGI.

    Making it runs a few predictions, so an app that exists is ready. `held` counts the
    predictions that it has taken in and not answered yet.

    Args:
        predictor: of the bundle.
        version: of the model in the registry.
        settings: limits and batching.
    """

    def __init__(self, predictor: Predictor, *, version: str, settings: ServeSettings) -> None:
        signature = predictor.signature
        name = predictor.bundle.info.name
        self._settings = settings
        self._parser = RequestParser(signature, max_rows=settings.max_rows)
        (example,) = self._parser.parse(to_json(signature.example()))
        self._batcher: MicroBatcher[Row, Answer] = MicroBatcher(
            predictor.predict_rows,
            max_requests=settings.max_batch_size,
            wait_s=settings.batch_wait_s,
            max_loop_items=loop_rows(predictor.predict_rows, example),
        )
        self._headers = (
            (b"x-model-name", name.encode()),
            (b"x-model-version", version.encode()),
        )
        ensemble = predictor.bundle.info.ensemble
        document = openapi(name, version, signature, max_rows=settings.max_rows, ensemble=ensemble)
        self._pages = {
            "/healthz": json_response({"status": "alive"}),
            "/readyz": json_response({"status": "ready"}),
            "/metadata": json_response(_metadata(predictor, version)),
            "/openapi.json": json_response(document),
            **docs_pages(f"{name} {version}"),
        }
        self.held = 0
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
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            if path == "/predict":
                response = await self._predict(scope, receive)
            else:
                response = self._page(path, scope["method"])
        except ClientGoneError:
            return
        await response.send(send, self._headers)

    def _page(self, path: str, method: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            paths = ", ".join(["/predict", *self._pages])
            return error_response(404, f"there is no {path}. Paths are: {paths}")
        # A server leaves out the body of an answer to HEAD, and keeps its length.
        return page if method in {"GET", "HEAD"} else _wrong_method(path, "GET, HEAD")

    async def _predict(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            return _wrong_method("/predict", "POST")
        if self.held >= self._capacity:
            return error_response(503, "too many requests wait", _RETRY_AFTER)
        self.held += 1
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                limit = self._settings.max_body_bytes
                body = await read_body(scope, receive, limit=limit)
                answers = await self._batcher.submit(self._parser.parse(body))
        except RequestError as error:
            return refusal(error)
        except TimeoutError:
            seconds = self._settings.request_timeout_s
            return error_response(408, f"the request took longer than {seconds:g} s")
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001 (the process edge: a client learns that, not why)
            _log.exception("a prediction failed")
            return error_response(500, "the model failed on this request")
        finally:
            self.held -= 1
        return json_response({"predictions": answers})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._batcher.close()
        await send({"type": "lifespan.shutdown.complete"})


def _wrong_method(path: str, allowed: str) -> Response:
    headers = ((b"allow", allowed.encode()),)
    return error_response(405, f"{path} answers {allowed} only", headers)


def _metadata(predictor: Predictor, version: str) -> dict[str, Any]:
    bundle = predictor.bundle
    info = bundle.info
    return {
        "name": info.name,
        "version": version,
        "created": info.created,
        "rayml": info.rayml,
        "digest": bundle.digest,
        "target": asdict(bundle.signature.target),
        "inputs": [asdict(column) for column in bundle.signature.inputs],
        "metric": info.metric,
        "metrics": info.metrics,
        "ensemble": info.ensemble,
        "confirmed": info.confirmed and asdict(info.confirmed),
        "lineage": asdict(bundle.lineage),
    }
