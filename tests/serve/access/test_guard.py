"""The guard, alone and in front of the app: who is let in, and how refusals look."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import ServeError
from rayml.serve.access.guard import Guard, make_guard, token_of
from rayml.serve.access.key_file import add_key
from rayml.serve.access.keys import Keys, new_key
from rayml.serve.access.rate import Rate
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import KeySettings, RateSettings, ServeSettings
from tests.serve.asgi import call

READER, READ = new_key("reader", ["predict"])
BOSS, RULE = new_key("boss", ["admin"])
LABELLER, LABEL = new_key("labeller", ["feedback"])
KEYS = Keys([READ, RULE, LABEL])
ROW = {"size": 1.5}
OPEN = {"/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}


async def change(_request: Request, _model: ServedModel) -> Response:
    return json_response({})


@pytest.fixture(scope="module")
def model(binary_bundle: Path) -> ServedModel:
    return ServedModel(Predictor.load(binary_bundle), version="1", settings=ServeSettings())


@pytest.fixture
def app(model: ServedModel) -> EndpointApp:
    return guarded(model, Guard(lambda: KEYS, None))


def guarded(model: ServedModel, guard: Guard) -> EndpointApp:
    routes = [
        Route("POST", "/change", change, scope="admin"),
        Route("POST", "/feedback", change, scope="feedback"),
    ]
    router = Router([*ROUTES, *routes])
    return EndpointApp(OneVersion(model), settings=ServeSettings(), router=router, guard=guard)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_only_health_answers_without_a_key(app: EndpointApp) -> None:
    for route in ROUTES:
        response = call(app, route.method, route.path)
        if route.path in OPEN:
            assert response.status_code == 200, route
        else:
            assert response.status_code == 401, route
            assert isinstance(response.json()["error"], str)
            assert response.headers["www-authenticate"].startswith("Bearer realm=")
    # What exists is not told either.
    assert call(app, "GET", "/nothing").status_code == 401
    assert call(app, "GET", "/nothing", headers=bearer(READER)).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        bearer(READER),
        {"authorization": f"bearer   {READER} "},
        {"x-api-key": READER},
        {"authorization": "Basic " + base64.b64encode(f"any:{READER}".encode()).decode()},
    ],
)
def test_a_key_comes_in_any_of_the_usual_ways(app: EndpointApp, headers: dict[str, str]) -> None:
    assert call(app, "POST", "/predict", json=ROW, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer(READER[:-1]),
        bearer(READER + "x"),
        bearer(""),
        bearer(READ.digest.hex()),
        {"authorization": READER},
        {"authorization": f"Token {READER}"},
        {"authorization": "Basic !"},
        {"authorization": "Basic " + base64.b64encode(READER.encode()).decode()},
        {"x-api-key": ""},
        {"x-api-key": "x", "authorization": f"Bearer {READER}"},
        {"cookie": f"key={READER}"},
    ],
)
def test_anything_else_is_no_key(app: EndpointApp, headers: dict[str, str]) -> None:
    response = call(app, "POST", "/predict", json=ROW, headers=headers)
    assert response.status_code == 401
    assert READER not in response.text
    assert call(app, "GET", f"/docs?key={READER}").status_code == 401


def test_scopes_are_apart(app: EndpointApp) -> None:
    assert call(app, "POST", "/change", headers=bearer(BOSS)).status_code == 200
    for path, token in (("/change", READER), ("/predict", BOSS)):
        response = call(app, "POST", path, json=ROW, headers=bearer(token))
        assert response.status_code == 403
        assert "insufficient_scope" in response.headers["www-authenticate"]


def test_a_browser_cannot_be_made_to_change_anything(app: EndpointApp) -> None:
    """It sends what Basic asked its user for also when another site makes it ask."""
    for path, token in (("/change", BOSS), ("/feedback", LABELLER)):
        ambient = {"authorization": "Basic " + base64.b64encode(f"x:{token}".encode()).decode()}
        response = call(app, "POST", path, headers=ambient)
        assert response.status_code == 401
        assert "Basic" not in response.headers["www-authenticate"]
        assert call(app, "POST", path, headers=bearer(token)).status_code == 200


def test_a_key_that_asks_sends_no_labels(app: EndpointApp) -> None:
    refused = call(app, "POST", "/feedback", headers=bearer(READER))
    assert refused.status_code == 403
    assert "NAME:predict,feedback" in refused.json()["error"]


def test_options_tell_nothing_without_a_key(app: EndpointApp) -> None:
    assert call(app, "OPTIONS", "/predict").status_code == 401
    assert call(app, "OPTIONS", "/nothing").status_code == 401
    answer = call(app, "OPTIONS", "/predict", headers=bearer(READER))
    assert (answer.status_code, answer.headers["allow"]) == (200, "POST, OPTIONS")


def test_a_body_is_not_read_before_the_key(app: EndpointApp) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 401
    assert "error" in json.loads(sent[1]["body"])


def test_a_client_that_asks_too_often_waits(model: ServedModel) -> None:
    rate = Rate(0.5, 2, clock=lambda: 0.0)
    app = guarded(model, Guard(None, rate))
    got = [call(app, "POST", "/predict", json=ROW).status_code for _ in range(3)]
    assert got == [200, 200, 429]
    refused = call(app, "GET", "/docs")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error"]
    assert call(app, "GET", "/healthz").status_code == 200
    assert call(app, "POST", "/predict", json=ROW, address="192.0.2.8").status_code == 200


def test_the_rate_is_a_holders_or_else_an_addresss() -> None:
    guard = Guard(lambda: KEYS, Rate(1.0, 1, clock=lambda: 0.0))

    def status(token: str | None, address: str) -> int:
        return guard.check(token and token.encode(), "predict", address).status  # type: ignore[arg-type]

    assert [status(READER, "a"), status(READER, "b"), status(READER, "c")] == [200, 429, 429]
    # Guessing keys is slow, and does not take from those who have one.
    assert [status("guess", "a"), status("guess2", "a"), status(None, "a")] == [401, 429, 429]
    assert status("guess", "b") == 401


def test_a_network_of_version_6_is_one_client() -> None:
    guard = Guard(None, Rate(1.0, 1, clock=lambda: 0.0))
    for address, status in (
        ("2001:db8::1", 200),
        ("2001:db8::ffff:2", 429),
        ("2001:db8:0:1::1", 200),
        ("fe80::1%eth0", 200),
        ("no:address", 200),
    ):
        assert guard.check(None, "predict", address).status == status


def test_it_is_made_of_what_a_replica_is_told(tmp_path: Path) -> None:
    assert make_guard(None, (), None).open
    limited = make_guard(None, (), RateSettings(requests_per_second=1, burst=1))
    assert not limited.open
    add_key(tmp_path / "keys", READ)
    guard = make_guard(str(tmp_path / "keys"), (RULE,), None)
    assert guard.check(READER.encode(), "predict", "").status == 200
    assert guard.check(BOSS.encode(), "admin", "").status == 200
    assert make_guard(None, (RULE,), None).check(None, "predict", "").status == 401
    with pytest.raises(ServeError, match="cannot be read"):
        make_guard(str(tmp_path / "absent"), (RULE,), None)


@given(st.binary(max_size=60), st.sampled_from([b"authorization", b"x-api-key"]))
def test_no_header_breaks_it(value: bytes, name: bytes) -> None:
    for prefix in (b"", b"Basic ", b"Bearer "):
        token = token_of({name: prefix + value}, "predict")
        assert Guard(lambda: KEYS, None).check(token, "predict", "").status == 401


def test_off_loopback_an_endpoint_asks_for_keys() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example"):
        with pytest.raises(ValueError, match=r"asks for no key.*rayml key NAME"):
            ServeSettings(host=host)
        for keys in (KeySettings(file="keys"), KeySettings(variable="KEYS")):
            assert ServeSettings(host=host, keys=keys).host == host
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert not ServeSettings(host=host).keys.given
