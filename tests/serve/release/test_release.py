"""A release says who answers: champion, canary and shadow, and what guards make of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from rayml.registry import release as releases
from rayml.registry.release import Canary
from rayml.registry.store import Registry
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc import open_inference_pb2 as messages
from rayml.serve.grpc.service import InferenceService
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.canary_watch import CanaryWatch
from rayml.serve.release.follower import Follower
from rayml.serve.release.status import ReplicaStatus
from rayml.settings.release import GuardSettings
from tests.serve.asgi import call
from tests.serve.following import (
    ROW,
    app_of,
    change,
    holds,
    post,
    until,
    versions,
)


def test_a_canary_gets_its_share_and_keys_stick(registry: Registry, follower: Follower) -> None:
    canary = Canary(version=2, weight=0.3, key="header:x-user")
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    share = versions(post(follower, [ROW] * 400))
    assert 60 < share["2"] < 180  # without the header by chance
    drawn = [
        versions(post(follower, [ROW] * 3, headers={"x-user": f"user {number}"}))
        for number in range(60)
    ]
    assert all(len(each) == 1 for each in drawn)
    assert 5 < sum("2" in each for each in drawn) < 35
    change(registry, lambda seen: releases.end_canary(seen, "t"))
    until(registry, lambda status: status.canary_since is None)
    assert versions(post(follower, [ROW] * 50)) == {"1": 50}


def test_a_key_may_be_a_column_of_the_first_row(registry: Registry, follower: Follower) -> None:
    canary = Canary(version=2, weight=0.5, key="column:size")
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    running = follower.serving.plan.canary
    assert running is not None
    for size in range(20):
        row = {"size": float(size), "colour": "red"}
        tensor = {"name": "size", "datatype": "FP32", "shape": [2], "data": [size, 0]}
        expected = "2" if running.split.place(json.dumps(float(size)).encode()) < 0.5 else "1"
        for body in (row, [row, ROW], {"rows": [row]}):
            assert versions(post(follower, [body])) == {expected: 1}
        inferred = post(follower, [{"inputs": [tensor]}], "/v2/models/boxes/infer")
        assert versions(inferred) == {expected: 1}
    (refused,) = post(follower, [{"size": "x"}])
    assert refused.status_code == 422


def test_every_version_that_is_ready_is_told_and_answers_by_its_path(
    registry: Registry, follower: Follower, three_versions: list[Path]
) -> None:
    """Whatever the split says, over REST and gRPC alike."""
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    canary = Canary(version=3, weight=0.9)
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(1))
    until(registry, holds(3))
    app, model = app_of(follower), "/v2/models/boxes"
    paths = [model, *(f"{model}/versions/{number}" for number in (1, 2, 3))]
    pages = [call(app, "GET", path) for path in paths]
    assert [page.json()["versions"] for page in pages] == [["1", "2", "3"]] * 4
    assert [page.headers["x-model-version"] for page in pages] == ["2", "1", "2", "3"]
    service = Service(app)
    inputs = [{"name": "size", "datatype": "FP64", "shape": [1], "data": [1.5]}]
    for number, bundle in enumerate(three_versions, 1):
        (own,) = Predictor.load(bundle).predict_rows([{"size": 1.5}])
        for _ in range(5):
            answer = call(app, "POST", f"{paths[number]}/infer", json={"inputs": inputs}).json()
            assert answer["model_version"] == str(number)
            assert answer["outputs"][1]["data"] == pytest.approx([own["probability"]], abs=1e-6)
        said = messages.ModelInferRequest(model_name="boxes", model_version=str(number))
        said.inputs.add(name="size", datatype="FP64", shape=[1]).contents.fp64_contents.append(1.5)
        got = messages.ModelInferResponse.FromString(service.ask("ModelInfer", said))
        assert got.model_version == str(number)
        assert got.outputs[1].contents.fp64_contents == pytest.approx([own["probability"]])
    named = messages.ModelMetadataRequest(name="boxes", version="1")
    told = messages.ModelMetadataResponse.FromString(service.ask("ModelMetadata", named))
    assert list(told.versions) == ["1", "2", "3"]
    # Who names a version is not drawn, and does not count in the comparison.
    canary_now = follower.serving.plan.canary
    assert canary_now is not None
    drawn = [follower.serving.drawn_counts(number, canary_now) for number in ("2", "3")]
    assert [each and each.requests for each in drawn] == [0, 0]
    assert follower.serving.counts("2").requests == 6
    for rest, method in (("", "GET"), ("/ready", "GET"), ("/infer", "POST")):
        refused = call(app, method, f"{model}/versions/4{rest}", content=b"{}")
        assert refused.status_code == 404
        assert "Name one of 1, 2, 3" in refused.json()["error"]


class Service(InferenceService):
    """The calls of gRPC, without a server."""

    def __init__(self, app: EndpointApp) -> None:
        self._app = app

    def ask(self, method: str, message: Any) -> bytes:
        context = MagicMock()
        context.invocation_metadata.return_value = ()
        context.peer.return_value = "ipv4:127.0.0.1:1"
        answer = asyncio.run(getattr(self, method)(message.SerializeToString(), context))
        assert not context.set_code.called
        data: bytes = answer.SerializeToString()
        return data


def test_a_shadow_is_asked_and_touches_no_answer(registry: Registry, follower: Follower) -> None:
    (before,) = post(follower, [[ROW] * 4])
    change(registry, lambda seen: releases.set_shadow(seen, 3, "t"))
    until(registry, holds(3))
    answers = post(follower, [[ROW] * 4] * 5)
    assert versions(answers) == {"1": 5}
    assert all(each.content == before.content for each in answers)
    status = until(registry, lambda status: status.versions[3].counts.shadowed == 20)
    assert status.versions[3].counts.difference > 0
    assert status.versions[3].counts.requests == 0


def test_a_shadow_that_fails_or_is_slow_touches_no_answer(
    registry: Registry, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(registry, lambda seen: releases.set_shadow(seen, 3, "t"))
    until(registry, holds(3))
    shadow = follower.serving.plan.shadow
    assert shadow is not None

    def fail(rows: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(shadow.predictor, "predict_rows", fail)
    assert versions(post(follower, [ROW] * 6)) == {"1": 6}
    until(registry, lambda status: status.versions[3].counts.shadow_failed == 6)

    entered, free = threading.Event(), threading.Event()

    def hang(rows: list[object]) -> None:
        entered.set()
        free.wait(60)
        raise RuntimeError("late")

    monkeypatch.setattr(shadow.predictor, "predict_rows", hang)
    post(follower, [ROW])
    assert entered.wait(30)
    assert versions(post(follower, [[ROW] * 1000] * 12)) == {"1": 12}
    until(registry, lambda status: status.versions[3].counts.dropped == 2000)
    free.set()


def test_labels_tell_champion_and_canary_apart_on_the_same_rows(
    registry: Registry, follower: Follower
) -> None:
    rows = [{"size": float(n % 7), "colour": ["red", "blue"][n % 2]} for n in range(40)]
    (answered,) = post(follower, [{"rows": rows}])
    labels = [each["label"] for each in answered.json()["predictions"]]
    change(registry, lambda seen: releases.start_canary(seen, Canary(version=2, weight=0.01), "t"))
    until(registry, holds(2))
    (measured,) = post(
        follower, [{"rows": rows, "labels": labels, "ids": list(range(40))}], "/feedback"
    )
    assert measured.status_code == 200
    loss = measured.json()["loss"]
    assert (measured.json()["rows"], loss["1"]) == (40, 0)
    status = until(registry, lambda status: status.versions[2].counts.labels == 40)
    drawn = status.versions[2].drawn
    assert drawn is not None
    assert (drawn.paired, drawn.requests) == (40, 0)
    assert drawn.excess == pytest.approx(40 * loss["2"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 422),
        ({"rows": [ROW]}, 422),
        ({"rows": [ROW], "labels": []}, 422),
        ({"rows": [ROW], "labels": ["medium"]}, 422),
        ({"rows": [{"size": "x"}], "labels": ["low"]}, 422),
        ({"rows": [], "labels": []}, 422),
    ],
)
def test_feedback_that_is_none_is_refused(follower: Follower, body: Any, status: int) -> None:
    (response,) = post(follower, [body], "/feedback")
    assert response.status_code == status
    assert response.json()["error"]


def test_guards_roll_back_a_canary_that_errs_and_write_why(
    registry: Registry, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = Canary(version=2, weight=0.5, guards=GuardSettings())
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    running = follower.serving.plan.canary
    assert running is not None

    def fail(rows: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(running.model._batcher, "_run", fail)
    watch = CanaryWatch(registry, "boxes")
    decision = watch.look()
    assert decision is not None
    assert decision.outcome == "go on"
    statuses = Counter(each.status_code for each in post(follower, [ROW] * 200))
    until(registry, lambda status: _drawn_requests(status) == 200)
    decision = watch.look()
    assert decision is not None
    assert decision.outcome == "roll back"
    until(registry, lambda status: status.canary_since is None)
    assert versions(post(follower, [ROW] * 50)) == {"1": 50}
    entry = registry.history("boxes")[-1]
    assert (entry["action"], entry["version"]) == ("end canary", 2)
    assert f"{statuses[500]} of its {statuses[500]} requests failed" in entry["reason"]
    assert entry["figures"]["champion_requests"] == statuses[200]
    assert watch.look() is None


def _drawn_requests(status: ReplicaStatus) -> int:
    return sum(each.drawn.requests for each in status.versions.values() if each.drawn)


def test_guards_promote_a_canary_that_passed(registry: Registry, follower: Follower) -> None:
    guards = GuardSettings(window_s=0.001, min_requests=20, distribution=None, p99_ratio=None)
    canary = Canary(version=2, weight=0.5, guards=guards)
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    post(follower, [ROW] * 100)
    status = until(registry, lambda status: _drawn_requests(status) == 100)
    predicted = status.versions[2].drawn
    assert predicted is not None
    assert sum(predicted.predictions) == predicted.requests
    # A watch that begins anew knows from the release what is watched.
    decision = CanaryWatch(registry, "boxes").look()
    assert decision is not None
    assert decision.outcome == "promote"
    until(registry, lambda status: status.champion == 2)
    assert "passed its window" in registry.history("boxes")[-1]["reason"]


def test_each_request_is_counted_once_for_metrics_and_guards(
    registry: Registry, follower: Follower
) -> None:
    serving = follower.serving
    post(follower, [ROW] * 3)
    canary = Canary(version=2, weight=0.5, key="header:x-user")
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    running = serving.plan.canary
    assert running is not None
    drawn_user = next(
        user for user in map(str, range(100)) if running.split.place(user.encode()) < 0.5
    )
    app = app_of(follower)
    asked = [
        ("POST", "/predict", ROW),
        ("POST", "/predict", {"size": "x"}),
        ("POST", "/explain", ROW),
        ("POST", "/v2/models/boxes/versions/1/infer", {}),
        ("POST", "/v2/models/boxes/versions/2/infer", {}),
        ("POST", "/v2/models/boxes/versions/9/infer", {}),
        ("POST", "/feedback", {"rows": [ROW], "labels": ["low"]}),
        ("GET", "/metadata", None),
    ]
    for method, path, body in asked:
        call(app, method, path, json=body, headers={"x-user": drawn_user})
    snapshot = serving.requests.snapshot(app.load)
    found = {
        (each.version, each.route, each.status): sum(each.seconds.counts)
        for each in snapshot.answers
    }
    infer = "/v2/models/{name}/versions/{version}/infer"
    assert found == {
        ("1", "/predict", 200): 3,
        ("2", "/predict", 200): 1,
        ("2", "/predict", 422): 1,
        ("2", "/explain", 200): 1,
        ("1", infer, 400): 1,
        ("2", infer, 400): 1,
        ("1", infer, 404): 1,
        ("2", "/feedback", 200): 1,
        ("1", "/metadata", 200): 1,
    }
    counts = [serving.counts(version) for version in ("1", "2")]
    assert [(each.requests, each.refused, sum(each.latency)) for each in counts] == [
        (4, 0, 4),
        (4, 1, 4),
    ]
    drawn = [serving.drawn_counts(version, serving.plan.canary) for version in ("1", "2")]
    assert [each and (each.requests, each.refused) for each in drawn] == [(0, 0), (3, 1)]
