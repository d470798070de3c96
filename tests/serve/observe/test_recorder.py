"""The recorder of a replica, behind an app."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rayml.serve.access.guard import Guard, make_guard
from rayml.serve.access.keys import SCOPES, new_key
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Router
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.observe.recorder import Recorder, make_recorder
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings, TracingSettings
from tests.serve.asgi import call, metrics_route

pytestmark = pytest.mark.alone

SETTINGS = ServeSettings(max_rows=5)
ROW = {"size": 1.5, "colour": "red"}


@pytest.fixture
def model(binary_bundle: Path) -> Iterator[ServedModel]:
    served = ServedModel(Predictor.load(binary_bundle), version="3", settings=SETTINGS)
    yield served
    served.close()


def make_app(model: ServedModel, recorder: Recorder, guard: Guard | None = None) -> EndpointApp:
    app = EndpointApp(
        OneVersion(model),
        settings=SETTINGS,
        router=Router((*ROUTES, metrics_route(recorder))),
        observe=recorder.observe,
        close=recorder.close,
        guard=guard,
    )
    recorder.start(app.load)
    return app


def samples(response: httpx.Response) -> list[tuple[str, dict[str, str], float]]:
    assert response.status_code == 200
    return [
        (each.name, each.labels, each.value)
        for family in text_string_to_metric_families(response.text)
        for each in family.samples
    ]


def test_any_replica_gives_the_metrics_of_all(model: ServedModel, tmp_path: Path) -> None:
    recorders = [Recorder(name, tmp_path) for name in ("r1", "r2")]
    one, two = (make_app(model, recorder) for recorder in recorders)
    for app, count in ((one, 2), (two, 1)):
        for _ in range(count):
            call(app, "POST", "/predict", content=json.dumps([ROW] * 2))

    def requests(app: EndpointApp) -> dict[str, float]:
        return {
            labels["replica"]: value
            for name, labels, value in samples(call(app, "GET", "/metrics"))
            if name == "rayml_requests_total" and labels["route"] == "/predict"
        }

    # Each is asked once, so that it has told the other.
    assert requests(one)["r1"] == 2
    assert requests(two) == {"r1": 2, "r2": 1}
    assert requests(one) == {"r1": 2, "r2": 1}
    recorders[0].close()
    assert requests(two) == {"r2": 1}
    recorders[1].close()
    assert not list(tmp_path.iterdir())


def test_metrics_are_text_for_prometheus(model: ServedModel, tmp_path: Path) -> None:
    recorder = Recorder("r1", tmp_path)
    response = call(make_app(model, recorder), "GET", "/metrics")
    recorder.close()
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert ("rayml_replicas", {}, 1) in samples(response)


def test_metrics_are_for_admins_where_keys_are_asked_for(
    model: ServedModel, tmp_path: Path
) -> None:
    recorder = Recorder("r1", tmp_path)
    made = {scope: new_key(scope, [scope]) for scope in SCOPES}
    app = make_app(model, recorder, make_guard(None, tuple(key for _, key in made.values()), None))
    statuses = {
        scope: call(app, "GET", "/metrics", headers={"authorization": f"Bearer {token}"})
        for scope, (token, _) in made.items()
    }
    assert statuses["predict"].status_code == 403
    assert statuses["admin"].status_code == 200
    assert call(app, "GET", "/metrics").status_code == 401
    recorder.close()


def test_the_log_is_complete_when_the_app_ends(model: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    settings = replace(SETTINGS, access_log=str(path), metrics_folder=str(tmp_path / "metrics"))
    app = make_app(model, make_recorder("r1", settings))
    bodies = [json.dumps([ROW] * count).encode() for count in (1, 2, 6)]
    for body in bodies:
        call(app, "POST", "/predict", content=body, headers={"authorization": "Bearer hidden"})
    asyncio.run(end(app))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["status"], line["rows"]) for line in lines] == [(200, 1), (200, 2), (413, 0)]
    assert [line["bytes_in"] for line in lines] == [len(body) for body in bodies]
    assert "hidden" not in path.read_text()


async def end(app: EndpointApp) -> None:
    """Shut an app down, as a server does."""
    messages = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        assert message["type"].endswith(".complete")

    await app({"type": "lifespan"}, receive, send)


def test_traces_are_made_where_they_are_asked_for(
    model: ServedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(
        SETTINGS, metrics_folder=str(tmp_path), tracing=TracingSettings(endpoint="console")
    )
    recorder = make_recorder("r1", settings)
    call(make_app(model, recorder), "POST", "/predict", content=json.dumps(ROW))
    recorder.close()
    assert '"name": "predict"' in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_costs_no_answer(
    model: ServedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("no folder")
    recorder = Recorder("r1", tmp_path / "taken")
    app = make_app(model, recorder)
    assert call(app, "POST", "/predict", content=json.dumps(ROW)).status_code == 200
    assert caplog.text.count("metrics folder cannot be written") == 1
    found = samples(call(app, "GET", "/metrics"))
    problem = {"replica": "r1", "problem": "metrics folder cannot be written (Not a directory)"}
    assert ("rayml_metrics_folder_problem", problem, 1) in found
    assert any(name == "rayml_requests_total" and value == 1 for name, _, value in found)
    recorder.close()


def test_a_replica_that_cannot_tell_others_still_tells_of_them(
    model: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorders = [Recorder(name, tmp_path) for name in ("r1", "r2")]
    one, two = (make_app(model, recorder) for recorder in recorders)
    call(one, "POST", "/predict", content=json.dumps(ROW))
    call(one, "GET", "/metrics")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recorders[1]._files, "write", full)
        found = samples(call(two, "GET", "/metrics"))
        assert ("rayml_replicas", {}, 2) in found
        full_one = {"replica": "r2", "problem": "metrics folder full"}
        assert ("rayml_metrics_folder_problem", full_one, 1) in found
    # It goes away with what was wrong.
    found = samples(call(two, "GET", "/metrics"))
    assert {v for name, _, v in found if name == "rayml_metrics_folder_problem"} == {0}
    for each in recorders:
        each.close()


def test_a_full_disk_is_told_and_costs_no_answer(
    model: ServedModel, room: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The counts and the access log lie on it; what is answered is what a disk with room has."""
    settings = replace(SETTINGS, access_log=str(room / "log"), metrics_folder=str(room / "metrics"))
    recorder = make_recorder("r1", settings)
    app = make_app(model, recorder)
    ask = json.dumps(ROW)
    before = call(app, "POST", "/predict", content=ask)
    with (room / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 512)
    for _ in range(300):
        assert call(app, "POST", "/predict", content=ask).content == before.content
        recorder._flush()
    found = samples(call(app, "GET", "/metrics"))
    problem = {"replica": "r1", "problem": "metrics folder full"}
    assert ("rayml_metrics_folder_problem", problem, 1) in found
    assert next(v for name, _, v in found if name == "rayml_requests_total") == 301
    assert "metrics folder full" in caplog.text
    lost = next(v for name, _, v in found if name == "rayml_access_log_lost_lines_total")
    assert lost > 0
    (room / "filler").unlink()
    call(app, "POST", "/predict", content=ask)
    samples(call(app, "GET", "/metrics"))
    recorder.close()
    lines = [json.loads(line) for line in (room / "log").read_text().splitlines()]
    assert len(lines) == 304 - lost
    assert {line["status"] for line in lines} == {200}
    assert "can be written again" in caplog.text
