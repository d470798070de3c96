"""Labels of a regression, however large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pyarrow as pa
import pytest

from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.observe.request_counts import AnswerTotals
from rayml.serve.release.counted_rows import CountedRows
from rayml.serve.release.counters import VersionCounter
from rayml.serve.release.feedback import Feedback
from rayml.serve.release.release import ReleaseServing
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call
from tests.serve.conftest import make_predictor

ROW = {"size": 1.5, "colour": "red"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def model(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    predictor = make_predictor(tmp_path_factory, table, "regression", None)
    served = ServedModel(predictor, version="3", settings=ServeSettings(), measured=True)
    yield served
    served.close()


@pytest.fixture
def counter(model: ServedModel) -> VersionCounter:
    return VersionCounter(model.signature.target)


@pytest.fixture
def app(model: ServedModel, counter: VersionCounter, tmp_path: Path) -> EndpointApp:
    serving = SimpleNamespace(
        plan=SimpleNamespace(champion=model, canary=None), counters={"3": counter}
    )
    feedback = Feedback(cast("ReleaseServing", serving), CountedRows(tmp_path).claim)
    route = Route("POST", FEEDBACK, feedback, predicts=True)
    router = Router((*ROUTES, route))
    return EndpointApp(OneVersion(model), settings=ServeSettings(), router=router)


def measured(app: EndpointApp, *labels: str) -> httpx.Response:
    """Send labels as they are written."""
    rows = json.dumps([ROW] * len(labels))
    ids = json.dumps(list(range(len(labels))))
    body = f'{{"rows": {rows}, "labels": [{", ".join(labels)}], "ids": {ids}}}'
    return call(app, "POST", FEEDBACK, content=body.encode(), headers=JSON)


def test_the_loss_is_in_standard_deviations(
    app: EndpointApp, model: ServedModel, counter: VersionCounter
) -> None:
    target = model.signature.target
    (answer,) = model.predictor.predict_rows([ROW])
    off = [abs(answer["value"] - label) / target.scale for label in (3.0, -5.0)]
    response = measured(app, "3", "-5.0")
    assert response.json() == {
        "rows": 2,
        "counted": 2,
        "loss": {"3": pytest.approx(sum(off) / 2, rel=1e-5)},
    }
    assert counter.read(AnswerTotals()).loss_squared == pytest.approx(
        off[0] ** 2 + off[1] ** 2, rel=1e-5
    )


@pytest.mark.parametrize(
    "label", ["1e200", "-1e300", "1" + "0" * 400, "-1" + "0" * 400, "true", '"3"', "null", "[1]"]
)
def test_what_cannot_have_been_measured_is_refused(
    app: EndpointApp, counter: VersionCounter, label: str
) -> None:
    response = measured(app, "1.0", label)
    assert response.status_code == 422
    assert response.json()["row"] == 1
    assert "standard deviations" in response.json()["error"]
    assert len(response.text) < 1000
    assert counter.read(AnswerTotals()).labels == 0


def test_a_model_that_is_beyond_all_bounds_has_a_loss(
    app: EndpointApp, model: ServedModel, counter: VersionCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def predict_rows(rows: list[Any]) -> list[dict[str, float]]:
        return [{"value": 1e300} for _ in rows]

    monkeypatch.setattr(model, "predict_rows", predict_rows)
    assert measured(app, "1.0").json() == {"rows": 1, "counted": 1, "loss": {"3": 1e9}}
    assert counter.read(AnswerTotals()).loss_squared == 1e18


def sent(app: EndpointApp, body: object, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, "POST", FEEDBACK, content=json.dumps(body).encode(), headers=named or JSON)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"]
)
def test_only_what_is_said_to_be_json_is_read(
    app: EndpointApp, counter: VersionCounter, kind: str
) -> None:
    """A page of any site may send the others without asking."""
    response = sent(app, {"rows": [ROW], "labels": [3.0]}, content_type=kind)
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]
    assert counter.read(AnswerTotals()).labels == 0
    fine = sent(app, {"rows": [ROW], "labels": [3.0]}, content_type="Application/JSON; charset=x")
    assert fine.status_code == 200


def test_a_row_counts_once_however_often_it_is_sent(
    app: EndpointApp, counter: VersionCounter
) -> None:
    rows = [{"size": float(n), "colour": "red"} for n in range(43)]
    body = {"rows": rows, "labels": [3.0] * 43}
    assert sent(app, body).json()["counted"] == 43
    before = counter.read(AnswerTotals())
    for _ in range(9):
        again = sent(app, body)
        assert (again.json()["rows"], again.json()["counted"]) == (43, 0)
    assert counter.read(AnswerTotals()) == before
    assert before.labels == 43


def test_equal_values_written_otherwise_are_the_same_row(app: EndpointApp) -> None:
    written = (
        {"size": 2, "colour": "red", "seen": "2024-05-17T08:30:00Z"},
        {"colour": "red", "size": 2.0, "new": None, "seen": "2024-05-17T10:30:00+02:00"},
    )
    counts = [sent(app, {"rows": [row], "labels": [1.0]}).json()["counted"] for row in written]
    assert counts == [1, 0]
    assert sent(app, {"rows": [{"size": 2}], "labels": [1.0]}).json()["counted"] == 1


def test_ids_tell_rows_apart_and_the_first_label_counts(
    app: EndpointApp, counter: VersionCounter
) -> None:
    def counted(ids: list[Any], labels: list[float]) -> int:
        body = {"rows": [ROW] * len(ids), "labels": labels, "ids": ids}
        count: int = sent(app, body).json()["counted"]
        return count

    assert counted(["a", "b", 7, "a"], [1.0, 2.0, 3.0, 4.0]) == 3
    loss = counter.read(AnswerTotals()).loss
    assert counted(["a", 7, "7"], [50.0, 60.0, 70.0]) == 0
    assert counter.read(AnswerTotals()).loss == loss
    assert counted(["c"], [1.0]) == 1


@pytest.mark.parametrize(
    "ids",
    [
        [],
        ["a"],
        ["a", ""],
        ["a", None],
        ["a", True],
        ["a", 1.5],
        ["a", "x" * 201],
        "ab",
        ["a", 10**30],
    ],
)
def test_ids_that_are_none_are_refused(app: EndpointApp, counter: VersionCounter, ids: Any) -> None:
    response = sent(app, {"rows": [ROW] * 2, "labels": [1.0, 1.0], "ids": ids})
    assert response.status_code == 422
    assert counter.read(AnswerTotals()).labels == 0


def test_what_cannot_be_noted_is_told_and_does_not_count(
    model: ServedModel, counter: VersionCounter, tmp_path: Path
) -> None:
    serving = SimpleNamespace(
        plan=SimpleNamespace(champion=model, canary=None), counters={"3": counter}
    )
    feedback = Feedback(cast("ReleaseServing", serving), CountedRows(tmp_path / "gone").claim)
    router = Router((*ROUTES, Route("POST", FEEDBACK, feedback, predicts=True)))
    response = sent(
        EndpointApp(OneVersion(model), settings=ServeSettings(), router=router),
        {"rows": [ROW], "labels": [1.0]},
    )
    assert response.status_code == 503
    assert "cannot be counted" in response.json()["error"]
    assert response.headers["retry-after"] == "60"
    assert counter.read(AnswerTotals()).labels == 0
    assert not (tmp_path / "gone").exists()
