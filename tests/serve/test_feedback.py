"""Labels of a regression, however large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pyarrow as pa
import pytest

from rayml.serve.app import EndpointApp, OneVersion
from rayml.serve.counters import Counter
from rayml.serve.feedback import PATH, Feedback
from rayml.serve.release import ReleaseServing
from rayml.serve.routes import ROUTES, Route, Router
from rayml.serve.served import ServedModel
from rayml.serve_settings import ServeSettings
from tests.serve.asgi import call
from tests.serve.conftest import make_predictor

ROW = {"size": 1.5, "colour": "red"}


@pytest.fixture(scope="module")
def model(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    predictor = make_predictor(tmp_path_factory, table, "regression", None)
    served = ServedModel(predictor, version="3", settings=ServeSettings(), measured=True)
    yield served
    served.close()


@pytest.fixture
def counter(model: ServedModel) -> Counter:
    return Counter(model.signature.target)


@pytest.fixture
def app(model: ServedModel, counter: Counter) -> EndpointApp:
    serving = SimpleNamespace(
        plan=SimpleNamespace(champion=model, trial=None), counters={"3": counter}
    )
    route = Route("POST", PATH, Feedback(cast("ReleaseServing", serving)), predicts=True)
    router = Router((*ROUTES, route))
    return EndpointApp(OneVersion(model), settings=ServeSettings(), router=router)


def measured(app: EndpointApp, *labels: str) -> httpx.Response:
    """Send labels as they are written."""
    rows = json.dumps([ROW] * len(labels))
    body = f'{{"rows": {rows}, "labels": [{", ".join(labels)}]}}'
    return call(app, "POST", PATH, content=body.encode())


def test_the_loss_is_in_standard_deviations(
    app: EndpointApp, model: ServedModel, counter: Counter
) -> None:
    target = model.signature.target
    (answer,) = model.predictor.predict_rows([ROW])
    off = [abs(answer["value"] - label) / target.scale for label in (3.0, -5.0)]
    response = measured(app, "3", "-5.0")
    assert response.json() == {"rows": 2, "loss": {"3": pytest.approx(sum(off) / 2, rel=1e-5)}}
    assert counter.read().loss_squared == pytest.approx(off[0] ** 2 + off[1] ** 2, rel=1e-5)


@pytest.mark.parametrize(
    "label", ["1e200", "-1e300", "1" + "0" * 400, "-1" + "0" * 400, "true", '"3"', "null", "[1]"]
)
def test_what_cannot_have_been_measured_is_refused(
    app: EndpointApp, counter: Counter, label: str
) -> None:
    response = measured(app, "1.0", label)
    assert response.status_code == 422
    assert response.json()["row"] == 1
    assert "standard deviations" in response.json()["error"]
    assert len(response.text) < 1000
    assert counter.read().labels == 0


def test_a_model_that_is_beyond_all_bounds_has_a_loss(
    app: EndpointApp, model: ServedModel, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def predict_rows(rows: list[Any]) -> list[dict[str, float]]:
        return [{"value": 1e300} for _ in rows]

    monkeypatch.setattr(model, "predict_rows", predict_rows)
    assert measured(app, "1.0").json() == {"rows": 1, "loss": {"3": 1e9}}
    assert counter.read().loss_squared == 1e18
