"""What the app tells of each answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from rayml.serve.access.guard import Guard
from rayml.serve.access.keys import Keys
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.http import deadline
from rayml.serve.http.messages import Message, Request, Response
from rayml.serve.http.request_record import RequestRecord, observers
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

SETTINGS = ServeSettings(max_body_bytes=2000, max_rows=5)
ROW = {"size": 1.5, "colour": "red"}


async def broken(request: Request, model: ServedModel) -> Response:
    raise ZeroDivisionError


@pytest.fixture(scope="module")
def model(binary_bundle: Path) -> Iterator[ServedModel]:
    served = ServedModel(Predictor.load(binary_bundle), version="3", settings=SETTINGS)
    yield served
    served.close()


@pytest.fixture
def seen() -> list[RequestRecord]:
    return []


@pytest.fixture
def app(model: ServedModel, seen: list[RequestRecord]) -> EndpointApp:
    router = Router((*ROUTES, Route("POST", "/broken/{part}", broken, predicts=True)))
    return EndpointApp(
        OneVersion(model), settings=SETTINGS, router=router, observe=observers(seen.append)
    )


def test_a_prediction_is_told_with_its_rows_bytes_and_times(
    app: EndpointApp, seen: list[RequestRecord]
) -> None:
    body = json.dumps([ROW] * 3)
    response = call(app, "POST", "/predict?x=1", content=body, headers={"X-Request-Id": "seven"})
    (record,) = seen
    assert response.headers["x-request-id"] == record.id == "seven"
    assert (record.method, record.path, record.route) == ("POST", "/predict", "/predict")
    assert (record.model, record.version, record.status) == ("boxes", "3", 200)
    assert record.chosen
    assert (record.rows, record.bytes_in) == (3, len(body))
    assert record.bytes_out == len(response.content)
    assert record.client == "127.0.0.1"
    assert record.started < record.received < record.parsed < record.ended
    assert record.seconds == record.ended - record.started


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "route"),
    [
        ("GET", "/healthz", b"", 200, "/healthz"),
        ("GET", "/nothing/secret", b"", 404, ""),
        ("GET", "/predict", b"", 405, "/predict"),
        ("POST", "/predict", b"{", 400, "/predict"),
        ("POST", "/broken/egg", b"", 500, "/broken/{part}"),
    ],
)
def test_every_answer_is_told_once_with_a_bounded_route(
    app: EndpointApp,
    seen: list[RequestRecord],
    method: str,
    path: str,
    body: bytes,
    status: int,
    route: str,
) -> None:
    response = call(app, method, path, content=body)
    (record,) = seen
    assert (record.status, record.route, record.path) == (status, route, path)
    assert record.parsed == record.rows == 0
    assert record.chosen == (status in {400, 500})
    assert len(response.headers.get_list("x-request-id")) == 1


def test_a_failure_is_logged_with_its_id(
    app: EndpointApp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="rayml.serve.app.app"):
        call(app, "POST", "/broken/egg", headers={"X-Request-Id": "seven"})
    (record,) = caplog.records
    assert record.getMessage() == "request seven failed"
    assert record.exc_info is not None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_that_hangs_is_given_up(model: ServedModel, method: Literal["GET", "POST"]) -> None:
    async def hangs(request: Request, model: ServedModel) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    soon = replace(SETTINGS, request_timeout_s=0.01)
    router = Router((Route(method, "/hangs", hangs),))
    app = EndpointApp(OneVersion(model), settings=soon, router=router)
    assert call(app, method, "/hangs").status_code == 408


def test_what_fails_before_a_route_is_found_is_told_too(
    model: ServedModel, seen: list[RequestRecord], caplog: pytest.LogCaptureFixture
) -> None:
    def torn() -> Keys:
        raise ZeroDivisionError

    app = EndpointApp(
        OneVersion(model), settings=SETTINGS, guard=Guard(torn, None), observe=seen.append
    )
    with caplog.at_level(logging.ERROR, logger="rayml.serve.app.app"):
        response = call(app, "POST", "/predict", headers={"X-Request-Id": "seven"})
    assert response.status_code == 500
    assert response.json() == {"error": "the endpoint failed on this request"}
    (record,) = caplog.records
    assert record.getMessage() == "request seven failed"
    assert [each.status for each in seen] == [500]


SCOPE = {"type": "http", "method": "POST", "path": "/predict", "headers": []}


async def unheard(message: Message) -> None:
    raise AssertionError("nobody listens")


def test_a_client_that_leaves_is_told_as_499(app: EndpointApp, seen: list[RequestRecord]) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(app(dict(SCOPE), receive, unheard))
    assert [(each.status, each.bytes_out, each.client) for each in seen] == [(499, 0, "")]


def test_a_client_that_leaves_while_its_rows_wait_is_told_as_499(
    binary_bundle: Path, seen: list[RequestRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free again at once, and there is no forward pass for it."""
    monkeypatch.setattr(deadline, "AFTER_S", 0.001)
    held: list[int] = []

    async def leave() -> None:
        body = b'{"size": 1.0, "colour": "red"}'
        messages = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": body, "more_body": False},
        ]

        async def receive() -> Message:
            held.append(app.held)
            return messages.pop()

        await app(dict(SCOPE), receive, unheard)
        held.append(app.held)

    waits = replace(SETTINGS, batch_wait_s=3600)
    model = ServedModel(Predictor.load(binary_bundle), version="3", settings=waits)
    app = EndpointApp(OneVersion(model), settings=waits, observe=seen.append)
    asyncio.run(leave())
    model.close()
    assert [(each.status, each.rows) for each in seen] == [(499, 1)]
    assert held == [1, 1, 0]


def test_a_request_that_is_cancelled_is_told_as_499(
    app: EndpointApp, seen: list[RequestRecord]
) -> None:
    async def leave() -> None:
        waits = asyncio.Event()

        async def receive() -> Message:
            waits.set()
            await asyncio.Event().wait()
            raise AssertionError("it is cancelled")

        task = asyncio.create_task(app(dict(SCOPE), receive, unheard))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert [each.status for each in seen] == [499]


def test_all_observers_are_told(seen: list[RequestRecord], app: EndpointApp) -> None:
    call(app, "GET", "/healthz")
    first: list[RequestRecord] = []
    second: list[RequestRecord] = []
    record = replace(seen[0], id="other")
    observers(first.append, second.append)(record)
    assert first == second == [record]
