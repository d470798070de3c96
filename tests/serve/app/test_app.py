"""The ASGI app, called as a server calls it."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from fastapi.openapi.models import OpenAPI

from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

ROW = {"size": 1.5, "colour": "red", "new": True}
SETTINGS = ServeSettings(max_body_bytes=2000, max_rows=5)


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


def make_app(predictor: Predictor, *, version: str, settings: ServeSettings) -> EndpointApp:
    model = ServedModel(predictor, version=version, settings=settings)
    return EndpointApp(OneVersion(model), settings=settings)


@pytest.fixture(scope="module")
def app(boxes: Predictor) -> EndpointApp:
    return make_app(boxes, version="3", settings=SETTINGS)


def predict(app: EndpointApp, body: bytes) -> httpx.Response:
    return call(app, "POST", "/predict", content=body)


def test_one_row_or_many_are_answered(app: EndpointApp, boxes: Predictor) -> None:
    (own,) = boxes.predict_rows([ROW])
    for body, count in ((ROW, 1), ([ROW, ROW], 2), ({"rows": [ROW] * 5}, 5)):
        response = predict(app, json.dumps(body).encode())
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        answers = response.json()["predictions"]
        assert len(answers) == count
        for answer in answers:
            assert answer["label"] == own["label"]
            assert answer["probability"] == pytest.approx(own["probability"], abs=1e-6)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/predict", b'{"size": "x"}', 422),
        ("POST", "/predict", b"{", 400),
        ("POST", "/predict", json.dumps([ROW] * 6).encode(), 413),
        ("POST", "/predict", b" " * 2001, 413),
        ("GET", "/predict", b"", 405),
        ("POST", "/healthz", b"", 405),
        ("GET", "/nothing", b"", 404),
        ("GET", "/docs/../../etc/passwd", b"", 404),
    ],
)
def test_every_error_has_one_form_and_names_the_model(
    app: EndpointApp, method: str, path: str, body: bytes, status: int
) -> None:
    response = call(app, method, path, content=body)
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model-name"] == "boxes"
    assert response.headers["x-model-version"] == "3"
    assert ("allow" in response.headers) == (status == 405)


def test_an_error_names_row_and_column(app: EndpointApp) -> None:
    error = predict(app, b'[{"size": 1}, {"size": "x"}]').json()
    assert (error["row"], error["column"]) == (1, "size")


def test_a_body_may_be_compressed(app: EndpointApp) -> None:
    plain = json.dumps([ROW] * 3).encode()
    for encoding, code in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        headers = {"content-encoding": encoding}
        response = call(app, "POST", "/predict", content=code(plain), headers=headers)
        assert response.json() == predict(app, plain).json()
        assert response.status_code == 200
    refused = call(app, "POST", "/predict", content=b"", headers={"content-encoding": "br"})
    assert refused.status_code == 415
    assert refused.headers["accept-encoding"] == "gzip, deflate, identity"


def test_large_bodies_find_no_room_at_once_and_give_it_back(boxes: Predictor) -> None:
    settings = replace(SETTINGS, max_body_bytes=300_000, max_held_bytes=300_000)
    app = make_app(boxes, version="3", settings=settings)
    large = json.dumps(ROW).encode() + b" " * 250_000

    async def main() -> httpx.Response:
        arrived = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield large
            await arrived.wait()
            yield b" "

        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            first = asyncio.create_task(client.post("/predict", content=slow()))
            while app._room.left == 300_000:
                await asyncio.sleep(0)
            refused = await client.post("/predict", content=b"x" * 400_000)
            assert refused.status_code == 413
            refused = await client.post("/predict", content=large + b" ")
            assert (await client.post("/predict", json=ROW)).status_code == 200
            arrived.set()
            assert (await first).status_code == 200
            assert (await client.post("/predict", content=large)).status_code == 200
        return refused

    refused = asyncio.run(main())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert app._room.left == 300_000


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metadata", "/openapi.json"])
def test_pages_are_json_of_the_model(app: EndpointApp, path: str) -> None:
    response = call(app, "GET", path)
    assert response.status_code == 200
    assert response.json()
    assert response.headers["x-model-version"] == "3"


def test_a_page_may_be_asked_for_its_head(app: EndpointApp) -> None:
    same = {"headers": {"x-request-id": "same"}}
    for path in ("/healthz", "/docs"):
        head, page = call(app, "HEAD", path, **same), call(app, "GET", path, **same)
        assert head.status_code == 200
        assert head.headers == page.headers
    refused = call(app, "PUT", "/healthz")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_options_tell_the_methods_of_a_path(app: EndpointApp) -> None:
    for path, methods in (
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/predict", "POST, OPTIONS"),
        ("*", "GET, HEAD, POST, OPTIONS"),
    ):
        answer = call(app, "OPTIONS", path) if path != "*" else asyncio.run(_options(app))
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["allow"] == methods
    assert call(app, "OPTIONS", "/nothing").status_code == 404


async def _options(app: EndpointApp) -> httpx.Response:
    """Ask about the whole server, which no client of HTTP that is used here can."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "OPTIONS", "path": "*", "headers": []}
    await app(scope, receive, send)
    start, body = sent
    return httpx.Response(start["status"], headers=start["headers"], content=body["body"])


def test_metadata_tells_what_is_served(app: EndpointApp, boxes: Predictor) -> None:
    metadata = call(app, "GET", "/metadata").json()
    assert (metadata["name"], metadata["version"]) == ("boxes", "3")
    assert metadata["digest"] == boxes.bundle.digest
    assert [column["name"] for column in metadata["inputs"]] == [
        column.name for column in boxes.signature.inputs
    ]
    assert metadata["metrics"]["test"] == {"accuracy": 0.5}
    assert metadata["lineage"]["sweep"] == "none"
    assert (metadata["ensemble"], metadata["confirmed"]) == (None, None)


def test_the_docs_load_nothing_from_elsewhere(app: EndpointApp) -> None:
    page = call(app, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"docs/{name}" in page.text
        assert len(call(app, "GET", f"/docs/{name}").content) > 1000


def test_the_openapi_document_is_valid_and_typed(predictor: Predictor) -> None:
    app = make_app(predictor, version="1", settings=SETTINGS)
    document = call(app, "GET", "/openapi.json").json()
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    row = schemas["Row"]["properties"]
    assert row["size"]["type"] == ["number", "null"]
    assert row["colour"]["type"] == ["string", "integer", "null"]
    assert row["new"]["type"] == ["boolean", "integer", "null"]
    assert row["seen"]["format"] == "date-time"
    assert "red" in row["colour"]["description"]
    (answer,) = call(app, "POST", "/predict", content=json.dumps(ROW).encode()).json()[
        "predictions"
    ]
    assert list(schemas["Answer"]["properties"]) == list(answer)
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    for example in examples.values():
        sent = json.dumps(example["value"]).encode()
        assert call(app, "POST", "/predict", content=sent).status_code == 200


def test_an_ensemble_says_so_and_answers_with_its_spread(ensemble: Predictor) -> None:
    app = make_app(ensemble, version="1", settings=SETTINGS)
    document = call(app, "GET", "/openapi.json").json()
    OpenAPI.model_validate(document)
    assert "the mean of 3 models" in document["info"]["description"]
    schema = document["components"]["schemas"]["Answer"]
    body = json.dumps([ROW, {"size": 2}]).encode()
    answers = call(app, "POST", "/predict", content=body).json()["predictions"]
    for answer in answers:
        assert schema["required"] == [key for key in answer if key != "warnings"]
        assert {*answer} <= {*schema["properties"]}
        assert answer["spread"] > 0
    # To the last bit: both run the same batch.
    assert answers == ensemble.predict_rows([ROW, {"size": 2.0}])
    assert call(app, "GET", "/metadata").json()["ensemble"] == 3


def chunked(app: EndpointApp, chunks: Iterable[dict[str, Any]]) -> tuple[list[Any], int]:
    """Send a body in chunks; give the app's messages and how many chunks it took."""
    sent: list[Any] = []
    taken = 0
    source = iter(chunks)

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return next(source)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent, taken


def test_a_body_may_come_in_pieces(app: EndpointApp) -> None:
    body = json.dumps(ROW).encode()
    pieces = [
        {"type": "http.request", "body": body[i : i + 1], "more_body": i + 1 < len(body)}
        for i in range(len(body))
    ]
    sent, _ = chunked(app, pieces)
    assert sent[0]["status"] == 200


def test_a_body_without_end_is_cut_off_at_the_limit(app: EndpointApp) -> None:
    def endless() -> Iterable[dict[str, Any]]:
        while True:
            yield {"type": "http.request", "body": b" " * 1000, "more_body": True}

    sent, taken = chunked(app, endless())
    assert sent[0]["status"] == 413
    assert taken == 3


def test_a_client_that_leaves_is_not_answered(app: EndpointApp) -> None:
    sent, _ = chunked(app, [{"type": "http.disconnect"}])
    assert sent == []


def test_a_request_that_takes_too_long_gets_408(boxes: Predictor) -> None:
    app = make_app(boxes, version="3", settings=replace(SETTINGS, request_timeout_s=0.01))

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def never() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        await app(scope, never, send)  # type: ignore[arg-type]
        return sent

    start, body = asyncio.run(main())
    assert start["status"] == 408
    assert "longer" in json.loads(body["body"])["error"]


def test_a_full_queue_gets_503_at_once(boxes: Predictor) -> None:
    settings = replace(SETTINGS, max_ongoing_requests=1, max_queued_requests=1, batch_wait_s=30)
    app = make_app(boxes, version="3", settings=settings)

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            held = [asyncio.create_task(client.post("/predict", json=ROW)) for _ in range(2)]
            # The batch is waited for, so both stay until they are cancelled.
            while app.held < 2:
                await asyncio.sleep(0)
            refused = await client.post("/predict", json=ROW)
            alive = await client.get("/healthz")
            assert alive.status_code == 200
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
        return refused

    refused = asyncio.run(main())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "error" in refused.json()
    assert app.held == 0


def test_a_failing_model_gives_500_without_its_secrets(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(boxes, version="3", settings=SETTINGS)

    def fail(rows: object) -> None:
        raise RuntimeError("secret path")

    monkeypatch.setattr(app._serving.champion._batcher, "_run", fail)  # type: ignore[arg-type, attr-defined]
    response = predict(app, json.dumps(ROW).encode())
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret path" in caplog.text


def test_a_prediction_that_is_no_number_is_no_answer(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(boxes, version="3", settings=SETTINGS)
    monkeypatch.setattr(boxes, "_forward", lambda numbers, _: torch.full((len(numbers),), math.nan))
    response = predict(app, json.dumps(ROW).encode())
    assert response.status_code == 500
    assert "error" in response.json()


def test_a_server_may_start_and_end_it(boxes: Predictor) -> None:
    app = make_app(boxes, version="3", settings=SETTINGS)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    asyncio.run(app({"type": "websocket"}, receive, send))
    assert sent[-1] == "websocket.close"
