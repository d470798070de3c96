"""A replica's server asks the app, and Serve knows how many requests it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.middleware import Middleware

from rayml.errors import ServeError
from rayml.serve.http.body import Message
from rayml.serve.http.messages import Scope
from rayml.serve.rayserve import bypass
from rayml.serve.rayserve.bypass import Bypass, bypass_to, middlewares
from rayml.serve.rayserve.middleware import RequestIds


class Metrics:
    """Counts as that of Serve does."""

    def __init__(self) -> None:
        self.count = 0
        self.kinds: list[Any] = []

    def inc_num_ongoing_requests(self, kind: Any) -> None:
        self.count += 1
        self.kinds.append(kind)

    def dec_num_ongoing_requests(self, kind: Any) -> None:
        self.count -= 1
        self.kinds.append(kind)


class Replica:
    """What is asked of Serve's."""

    class Id:
        """Of its deployment."""

        app_name = "rayml"

    def __init__(self) -> None:
        self._metrics_manager = Metrics()
        self._deployment_id = self.Id()
        self.asked: list[Scope] = []

    async def ingress(self, scope: Scope, receive: object, send: object) -> None:
        self.asked.append(scope)


class App:
    """Remembers what it was asked, and how many requests Serve knew of then."""

    def __init__(self, replica: Replica, error: BaseException | None = None) -> None:
        self._replica = replica
        self._error = error
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, scope: Scope, receive: object, send: object) -> None:
        self.asked.append((scope["path"], self._replica._metrics_manager.count))
        if self._error is not None:
            raise self._error


async def nothing(message: Message | None = None) -> Message:
    raise AssertionError("nobody reads or answers")


def call(replica: Replica, app: App, path: str, kind: str = "http") -> None:
    around = Bypass(replica.ingress, to=app)
    asyncio.run(around({"type": kind, "path": path, "headers": []}, nothing, nothing))


def test_the_app_is_asked_and_serve_told() -> None:
    replica = Replica()
    app = App(replica)
    call(replica, app, "/predict")
    assert app.asked == [("/predict", 1)]
    assert replica._metrics_manager.count == 0
    assert replica.asked == []


@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError()])
def test_a_request_that_fails_counts_no_longer(error: BaseException) -> None:
    replica = Replica()
    with pytest.raises(type(error)):
        call(replica, App(replica, error), "/predict")
    assert replica._metrics_manager.count == 0


def test_an_app_that_fails_is_told_of_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Serve silences uvicorn, which would say so."""
    replica = Replica()
    with (
        caplog.at_level(logging.ERROR, logger="rayml.serve.rayserve.bypass"),
        pytest.raises(KeyError),
    ):
        call(replica, App(replica, KeyError("why")), "/predict")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "why" in str(record.exc_info[1])


@pytest.mark.parametrize(
    ("path", "kind"), [("/-/healthz", "http"), ("/-/routes", "http"), ("/predict", "websocket")]
)
def test_serve_answers_what_is_its_own(path: str, kind: str) -> None:
    replica = Replica()
    app = App(replica)
    call(replica, app, path, kind)
    assert app.asked == []
    (scope,) = replica.asked
    named = [value for name, value in scope["headers"] if name == b"x-request-id"]
    assert len(named) == (kind == "http")


def test_serve_counts_requests_of_that_kind() -> None:
    """What is given to Serve has all that its own counting asks of a request."""
    from ray.serve._private.common import RequestProtocol

    replica = Replica()
    call(replica, App(replica), "/predict")
    first, second = replica._metrics_manager.kinds
    assert first is second
    assert (first.protocol, first.is_direct_ingress) == (RequestProtocol.HTTP, True)


def test_serve_still_counts_in_that_way() -> None:
    from ray.serve._private.replica import Replica as Serves
    from ray.serve._private.replica import ReplicaMetricsManager

    assert callable(ReplicaMetricsManager.inc_num_ongoing_requests)
    assert callable(ReplicaMetricsManager.dec_num_ongoing_requests)
    assert callable(Serves._direct_ingress_asgi)


def test_another_ray_is_refused() -> None:
    class Other:
        async def ingress(self, scope: Scope, receive: object, send: object) -> None: ...

    with pytest.raises(ServeError, match=r"_metrics_manager.*serve.ray_metrics=true"):
        Bypass(Other().ingress, to=None)


@pytest.fixture
def _forgotten() -> Iterator[None]:
    yield
    bypass_to(None, None)


@pytest.mark.usefixtures("_forgotten")
def test_a_replica_says_who_answers() -> None:
    def classes(given: list[Middleware]) -> list[object]:
        return [each.cls for each in given]

    assert bypass._app is None
    assert classes(middlewares()) == [RequestIds]
    app = App(Replica())
    bypass_to(app, None)
    assert classes(middlewares()) == [Bypass]
    from ray.serve._private.http_util import _apply_middlewares

    replica = Replica()
    around = _apply_middlewares(replica.ingress, middlewares())
    asyncio.run(around({"type": "http", "path": "/", "headers": []}, nothing, nothing))
    assert app.asked
    assert not replica.asked
