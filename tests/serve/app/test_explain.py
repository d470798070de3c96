"""`/explain` over the app: what it is asked, what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI

from rayml.errors import ExplainError
from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

ROW = {"size": 1.5, "colour": "green", "new": True, "seen": "2024-05-17T08:30:00Z"}
SETTINGS = ServeSettings(max_explain_rows=3)


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


def make_app(predictor: Predictor, settings: ServeSettings = SETTINGS) -> EndpointApp:
    model = ServedModel(predictor, version="3", settings=settings)
    return EndpointApp(OneVersion(model), settings=settings)


@pytest.fixture(scope="module")
def app(boxes: Predictor) -> EndpointApp:
    return make_app(boxes)


def post(app: EndpointApp, content: bytes | Any, path: str = "/explain") -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return call(app, "POST", path, content=body)


def test_one_row_or_many_are_explained(app: EndpointApp) -> None:
    [predicted] = post(app, ROW, "/predict").json()["predictions"]
    for body, count in ((ROW, 1), ([ROW, ROW], 2), ({"rows": [ROW] * 3}, 3)):
        response = post(app, body)
        assert response.status_code == 200
        assert response.headers["x-model-version"] == "3"
        answer = response.json()
        assert len(answer["explanations"]) == count
        assert answer["baseline"]["colour"] == "red"
        for each in answer["explanations"]:
            assert each["label"] == predicted["label"]
            assert each["prediction"] == pytest.approx(predicted["probability"], abs=1e-6)
            sums = sum(each["attributions"].values())
            assert each["prediction"] - each["baseline"] == pytest.approx(sums, abs=1e-3)
            assert each["converged"]


def test_options_stand_beside_the_rows_in_any_order(app: EndpointApp) -> None:
    asked = {"label": "low", "baseline": {"colour": "green"}, "rows": [ROW]}
    answer = post(app, asked).json()
    assert answer == post(app, dict(reversed(asked.items()))).json()
    [found] = answer["explanations"]
    assert found["label"] == "low"
    assert found["attributions"]["colour"] == 0
    assert answer["baseline"]["colour"] == "green"
    none = {"rows": [ROW], "label": None, "baseline": None}
    assert post(app, none).json() == post(app, ROW).json()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "JSON"),
        (b'{"rows": [{"size": 1}], "label": "low", "label": "high"}', 400, "twice"),
        (b'{"rows": [{"size": 1, "size": 2}]}', 400, "twice"),
        ({"rows": [ROW] * 4}, 413, "more than 3 rows"),
        ([ROW] * 4, 413, "more than 3 rows"),
        ({"rows": []}, 422, "no row"),
        ({"rows": [{}]}, 422, "no column"),
        ({"rows": [{"size": "x"}]}, 422, "finite number"),
        ({"rows": [ROW], "label": "medium"}, 422, "classes are: high, low"),
        ({"rows": [ROW], "label": ["low"]}, 422, "`label` is no class"),
        ({"rows": [ROW], "baseline": [ROW]}, 422, "no object of columns"),
        ({"rows": [ROW], "baseline": {"size": "x"}}, 422, "`baseline`"),
        ({"rows": [ROW], "baseline": {"weight": 1}}, 422, "weight"),
        ({"rows": [ROW], "steps": 50}, 422, "`label` or `baseline`"),
    ],
)
def test_what_does_not_fit_is_refused(
    app: EndpointApp, body: object, status: int, says: str
) -> None:
    response = post(app, body)
    assert response.status_code == status
    assert says in response.json()["error"]


def test_who_opens_the_page_finds_explanations_ready(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready: list[int] = []
    own = Explainer.warm_up

    def warm_up(explainer: Explainer) -> None:
        own(explainer)
        ready.append(threading.get_ident())

    monkeypatch.setattr(Explainer, "warm_up", warm_up)
    app = make_app(boxes)
    for _ in range(2):
        assert call(app, "GET", "/").status_code == 200
    assert post(app, ROW).status_code == 200
    # The explanation took its turn after it, in a thread of their own.
    (thread,) = ready
    assert thread != threading.get_ident()


def test_a_page_opens_whether_or_not_there_are_explanations(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise ExplainError("a model is differentiable")

    monkeypatch.setattr(Explainer, "explain", refuse)
    app = make_app(boxes)
    assert call(app, "GET", "/").status_code == 200
    assert post(app, ROW).status_code == 422
    app._serving.close()
    fresh = make_app(boxes)
    fresh._serving.close()
    assert call(fresh, "GET", "/").status_code == 200


def test_a_model_that_cannot_be_explained_gets_422(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ExplainError("no", found="Model")

    monkeypatch.setattr(Explainer, "explain", refuse)
    app = make_app(boxes)
    response = post(app, ROW)
    assert (response.status_code, response.json()) == (422, {"error": "no: 'Model'"})
    assert post(app, ROW, "/predict").status_code == 200


def test_the_document_describes_it(predictor: Predictor) -> None:
    app = make_app(predictor)
    document = app._serving.champion.pages["/openapi.json"].body
    OpenAPI.model_validate_json(document)
    described = json.loads(document)
    schemas = described["components"]["schemas"]
    operation = described["paths"]["/explain"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        answer = post(app, example["value"]).json()
        assert list(answer) == schemas["Explanations"]["required"]
        for each in answer["explanations"]:
            assert list(each) == schemas["Explanation"]["required"]
    options = schemas["ExplainedRows"]["properties"]
    assert ("label" in options) == bool(predictor.signature.target.classes)


def test_its_time_is_limited_and_its_thread_is_left_to_others(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, ended = threading.Event(), threading.Event()
    own = Explainer.explain

    def endless(explainer: Explainer, table: Any, *, proceed: Any, **options: Any) -> Any:
        if not started.is_set():
            started.set()
            try:
                while True:
                    proceed()
            finally:
                ended.set()
        return own(explainer, table, proceed=proceed, **options)

    monkeypatch.setattr(Explainer, "explain", endless)
    app = make_app(boxes, replace(SETTINGS, request_timeout_s=0.2))
    assert post(app, ROW).status_code == 408
    assert ended.wait(60)
    assert app.held == 0
    slow = make_app(boxes)
    assert post(slow, ROW).status_code == 200


def test_predictions_are_answered_meanwhile_and_room_is_counted(
    boxes: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    own = Explainer.explain

    def wait(explainer: Explainer, table: Any, **options: Any) -> Any:
        assert go.wait(60)
        return own(explainer, table, **options)

    monkeypatch.setattr(Explainer, "explain", wait)
    app = make_app(boxes, replace(SETTINGS, max_ongoing_requests=2, max_queued_requests=1))

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            held = [asyncio.create_task(client.post("/explain", json=ROW)) for _ in range(2)]
            while app.held < 2:
                await asyncio.sleep(0)
            predicted = await client.post("/predict", json=ROW)
            third = asyncio.create_task(client.post("/explain", json=ROW))
            while app.held < 3:
                await asyncio.sleep(0)
            refused = await client.post("/explain", json=ROW)
            go.set()
            answers = await asyncio.gather(*held, third)
        return [each.status_code for each in (predicted, refused, *answers)]

    assert asyncio.run(main()) == [200, 503, 200, 200, 200]
