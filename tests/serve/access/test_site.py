"""Names and pages that an endpoint is asked by, in front of the app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rayml.serve.access.guard import Guard
from rayml.serve.access.hosts import Hosts
from rayml.serve.access.keys import Keys, new_key
from rayml.serve.access.site import PROBES, Site
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

ROW = {"size": 1.5}
SHOP = "https://shop.example"
TOKEN, KEY = new_key("shop", ["predict"])
CHANGED: list[str] = []


async def change(request: Request, _model: ServedModel) -> Response:
    CHANGED.append(request.id)
    return json_response({})


@pytest.fixture(scope="module")
def model(binary_bundle: Path) -> Iterator[ServedModel]:
    served = ServedModel(Predictor.load(binary_bundle), version="1", settings=ServeSettings())
    yield served
    served.close()


def make(model: ServedModel, *origins: str, guard: Guard | None = None) -> EndpointApp:
    CHANGED.clear()
    return EndpointApp(
        OneVersion(model),
        settings=ServeSettings(),
        router=Router([*ROUTES, Route("POST", "/change", change, scope="feedback")]),
        guard=guard,
        site=Site(Hosts(bound="127.0.0.1"), origins),
    )


def ask(app: EndpointApp, method: str, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"json": ROW} if method == "POST" else {}
    return call(app, method, path, headers={"host": "localhost:8000", **named}, **body)


def test_a_foreign_name_is_refused_on_every_path_but_those_of_health(model: ServedModel) -> None:
    app = make(model)
    for route in [*ROUTES, Route("POST", "/change", change), Route("GET", "/nothing", change)]:
        path = re.sub(r"\{name\}", "boxes", route.path)
        response = ask(app, route.method, path, host="evil.example:8000")
        if route.path in PROBES:
            assert response.status_code == 200
        else:
            assert response.status_code == 421, route
            assert "serve.hosts" in response.json()["error"]
    assert not CHANGED


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9", ""])
def test_a_page_of_another_site_changes_nothing(model: ServedModel, origin: str) -> None:
    app = make(model, SHOP)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        for path in ("/change", "/predict", "/explain", "/v2/models/boxes/infer"):
            response = ask(app, "POST", path, origin=origin, content_type=kind)
            assert response.status_code == 403
            assert "serve.origins" in response.json()["error"]
            assert "access-control-allow-origin" not in response.headers
    assert not CHANGED
    # What it reads, the browser keeps from it.
    assert "access-control-allow-origin" not in ask(app, "GET", "/metadata", origin=origin).headers


def test_the_endpoints_own_page_and_other_programs_ask(model: ServedModel) -> None:
    app = make(model)
    for origin in ("http://localhost:8000", "https://localhost:8000", "http://LOCALHOST:8000"):
        assert ask(app, "POST", "/predict", origin=origin).status_code == 200
    assert ask(app, "POST", "/predict").status_code == 200
    assert ask(app, "POST", "/change", origin="http://localhost:8000").status_code == 200
    assert len(CHANGED) == 1


def test_a_page_of_an_allowed_site_asks_and_reads(model: ServedModel) -> None:
    app = make(model, SHOP)
    for method, path in (("POST", "/predict"), ("POST", "/change"), ("GET", "/metadata")):
        response = ask(app, method, path, origin=SHOP)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == SHOP
        assert response.headers["vary"] == "origin"
        assert "x-model-version" in response.headers["access-control-expose-headers"]
    # Errors too, or the page would not know why.
    assert ask(app, "POST", "/nothing", origin=SHOP).headers["access-control-allow-origin"] == SHOP


def test_a_browser_asks_first_and_without_a_key(model: ServedModel) -> None:
    app = make(model, SHOP, guard=Guard(lambda: Keys([KEY]), None))
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }
    response = ask(app, "OPTIONS", "/predict", origin=SHOP, **asked)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["access-control-allow-origin"] == SHOP
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization,content-type"
    # What exists is not told.
    nothing = ask(app, "OPTIONS", "/nothing", origin=SHOP, **asked)
    assert [nothing.status_code, nothing.content] == [200, b""]
    for origin in ("https://evil.example", "null"):
        refused = ask(app, "OPTIONS", "/predict", origin=origin, **asked)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
    assert ask(app, "POST", "/predict", origin=SHOP).status_code == 401
    answered = ask(app, "POST", "/predict", origin=SHOP, authorization=f"Bearer {TOKEN}")
    assert answered.status_code == 200


def test_without_sites_answers_carry_nothing_for_browsers(model: ServedModel) -> None:
    answer = ask(make(model), "GET", "/metadata", origin="http://localhost:8000")
    assert not {"vary", "access-control-allow-origin"} & set(answer.headers)


@pytest.mark.parametrize(
    "wrong", [{"hosts": ["https://a"]}, {"hosts": ["a b"]}, {"origins": ["a"]}, {"origins": ["*"]}]
)
def test_settings_name_hosts_and_origins(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        ServeSettings(**wrong)  # type: ignore[arg-type]
    ServeSettings(hosts=("a.example", "a.example:1", "[::1]:2", "*"), origins=(SHOP,))
