"""A replica that follows a release: every request is answered by one whole version."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import httpx
import pyarrow as pa
import pytest

from rayml.errors import ServeError
from rayml.registry import release as releases
from rayml.registry.release import Canary
from rayml.registry.store import Registry
from rayml.release_settings import GuardSettings
from rayml.serve import open_inference_pb2 as messages
from rayml.serve.app import EndpointApp
from rayml.serve.feedback import Feedback
from rayml.serve.follower import Follower
from rayml.serve.grpc_service import InferenceService
from rayml.serve.predictor import Predictor
from rayml.serve.routes import ROUTES, Route, Router
from rayml.serve.served import ServedModel
from rayml.serve.status import ReplicaStatus, read_statuses
from rayml.serve.watch import Watch
from rayml.serve_settings import ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.serve.asgi import call

ROW = {"size": 1.5, "colour": "red", "new": True}
SETTINGS = ServeSettings()


@pytest.fixture(scope="module")
def bundles(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three versions whose predictions differ."""
    folder = tmp_path_factory.mktemp("bundles")
    inputs = table.select([*table.column_names[:5], "label"])
    return [
        untrained_bundle(
            folder / str(width),
            inputs,
            target="label",
            task="binary",
            name="boxes",
            model={"_target_": "rayml.models.mlp.MLP", "width": width, "depth": 2},
        )
        for width in (8, 16, 24)
    ]


@pytest.fixture
def registry(tmp_path: Path, bundles: list[Path]) -> Registry:
    registry = Registry(tmp_path / "registry")
    for bundle in bundles:
        registry.register(bundle)
    change(registry, lambda seen: releases.promote(seen, 1, "first"))
    return registry


def change(registry: Registry, transition: Callable[[releases.Release], releases.Release]) -> None:
    registry.change_release("boxes", transition)


def load(folder: Path, version: str) -> ServedModel:
    return ServedModel(Predictor.load(folder), version=version, settings=SETTINGS)


@pytest.fixture
def follower(registry: Registry) -> Iterator[Follower]:
    follower = Follower(registry, "boxes", load)
    follower.start()
    yield follower
    follower.close()


def until(registry: Registry, true: Callable[[ReplicaStatus], bool]) -> ReplicaStatus:
    """Wait until the only replica says what is wanted of the present release."""
    revision = registry.release("boxes").revision
    pause = threading.Event()
    for _ in range(600):
        for status in read_statuses(registry.folder("boxes")):
            if status.revision == revision and true(status):
                return status
        pause.wait(0.05)
    raise AssertionError(read_statuses(registry.folder("boxes")))


def holds(version: int) -> Callable[[ReplicaStatus], bool]:
    return lambda status: status.follows(status.revision, version)


def app_of(follower: Follower) -> EndpointApp:
    feedback = Route("POST", "/feedback", Feedback(follower.serving), predicts=True)
    return EndpointApp(follower.serving, settings=SETTINGS, router=Router((*ROUTES, feedback)))


def post(follower: Follower, bodies: list[Any], path: str = "/predict", **more: Any) -> list[Any]:
    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app_of(follower))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.post(path, json=body, **more) for body in bodies]

    return asyncio.run(send())


def versions(responses: list[httpx.Response]) -> Counter[str]:
    assert {each.status_code for each in responses} == {200}
    return Counter(each.headers["x-model-version"] for each in responses)


def test_a_swap_under_load_fails_nothing_and_mixes_no_versions(
    registry: Registry, follower: Follower, bundles: list[Path]
) -> None:
    own = {
        str(number): Predictor.load(bundle).predict_rows([ROW])[0]["probability"]
        for number, bundle in enumerate(bundles, 1)
    }
    assert len(set(own.values())) == 3
    seen: Counter[str] = Counter()
    done = threading.Event()

    async def load_until_done() -> None:
        transport = httpx.ASGITransport(app=app_of(follower))  # type: ignore[arg-type]

        async def ask(client: httpx.AsyncClient) -> None:
            while not done.is_set():
                response = await client.post("/predict", json=[ROW] * 3)
                assert response.status_code == 200
                version = response.headers["x-model-version"]
                for answer in response.json()["predictions"]:
                    assert answer["probability"] == pytest.approx(own[version], abs=1e-6)
                seen[version] += 1

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await asyncio.gather(*(ask(client) for _ in range(8)))

    def swap() -> None:
        for version in (2, 3, 1):
            change(registry, lambda seen, version=version: releases.promote(seen, version, "t"))
            until(registry, lambda status, version=version: status.champion == version)
        change(registry, lambda seen: releases.roll_back(seen, "t"))
        until(registry, lambda status: status.champion == 3)
        done.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    asyncio.run(load_until_done())
    swapping.join()
    assert set(seen) == {"1", "2", "3"}
    assert versions(post(follower, [ROW] * 5)) == {"3": 5}
    (status,) = read_statuses(registry.folder("boxes"))
    assert status.champion == 3


def test_the_previous_version_stays_loaded(registry: Registry, follower: Follower) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    until(registry, holds(1))
    first = follower.serving.plan.named["1"]
    change(registry, lambda seen: releases.roll_back(seen, "t"))
    until(registry, lambda status: status.champion == 1)
    assert follower.serving.champion is first


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
    split = follower.serving.plan.trial
    assert split is not None
    for size in range(20):
        row = {"size": float(size), "colour": "red"}
        tensor = {"name": "size", "datatype": "FP32", "shape": [2], "data": [size, 0]}
        expected = "2" if split.split.place(json.dumps(float(size)).encode()) < 0.5 else "1"
        for body in (row, [row, ROW], {"rows": [row]}):
            assert versions(post(follower, [body])) == {expected: 1}
        inferred = post(follower, [{"inputs": [tensor]}], "/v2/models/boxes/infer")
        assert versions(inferred) == {expected: 1}
    (refused,) = post(follower, [{"size": "x"}])
    assert refused.status_code == 422


def test_a_version_that_does_not_load_leaves_the_old_one_and_says_why(
    registry: Registry, follower: Follower
) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    weights = registry.resolve("boxes", 2) / "weights.safetensors"
    until(registry, holds(2))
    registry.register(registry.resolve("boxes", 3))
    change(registry, lambda seen: releases.promote(seen, 3, "t"))
    until(registry, holds(3))
    broken = registry.resolve("boxes", 4) / "weights.safetensors"
    broken.write_bytes(broken.read_bytes()[:50])
    # As another process would that does not verify: past the registry's own check.
    file = registry.folder("boxes") / "release.json"
    release = json.loads(file.read_text())
    part = file.with_suffix(".test")
    part.write_text(json.dumps({**release, "revision": release["revision"] + 1, "champion": 4}))
    part.replace(file)
    status = until(registry, holds(4))
    assert "weights.safetensors" in status.refusal(4)
    assert status.champion == 3
    assert versions(post(follower, [ROW] * 5)) == {"3": 5}
    assert weights.exists()


def test_a_replica_that_starts_takes_the_version_before_a_broken_one(
    registry: Registry, follower: Follower
) -> None:
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    (registry.resolve("boxes", 2) / "bundle.json").unlink()
    late = Follower(registry, "boxes", load)
    assert late.serving.champion.version == "1"
    late.close()
    change(registry, lambda seen: releases.roll_back(seen, "t"))
    (registry.resolve("boxes", 1) / "bundle.json").unlink()
    with pytest.raises(ServeError, match=r"bundle\.json"):
        Follower(registry, "boxes", load)


def until_told(registry: Registry, word: str) -> None:
    """Wait until a replica says what keeps it from following."""
    pause, folder = threading.Event(), registry.folder("boxes")
    for _ in range(200):
        if any(word in each.problem for each in read_statuses(folder)):
            return
        pause.wait(0.05)
    raise AssertionError(read_statuses(folder))


def test_a_torn_release_is_told_and_changes_nothing(registry: Registry, follower: Follower) -> None:
    file = registry.folder("boxes") / "release.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    until_told(registry, "release.json")
    assert versions(post(follower, [ROW] * 3)) == {"1": 3}
    file.write_text(whole)
    until(registry, lambda status: not status.problem)


def test_a_release_that_is_away_is_told_and_changes_nothing(
    registry: Registry, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = registry.folder("boxes") / "release.json"
    away = file.rename(file.with_suffix(".away"))
    until_told(registry, "champion")
    assert versions(post(follower, [ROW] * 3)) == {"1": 3}
    away.rename(file)
    until(registry, lambda status: not status.problem)

    def stale(self: Registry, name: str) -> None:
        raise OSError("stale handle")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "release", stale)
        file.touch()
        until_told(registry, "stale handle")
    until(registry, lambda status: not status.problem)
    change(registry, lambda seen: releases.promote(seen, 2, "t"))
    until(registry, holds(2))
    assert versions(post(follower, [ROW] * 3)) == {"2": 3}


def test_every_version_that_is_ready_is_told_and_answers_by_its_path(
    registry: Registry, follower: Follower, bundles: list[Path]
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
    for number, bundle in enumerate(bundles, 1):
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
    trial = follower.serving.plan.trial
    assert trial is not None
    assert [counter.read().requests for counter in trial.counters.values()] == [0, 0]
    for rest, method in (("", "GET"), ("/ready", "GET"), ("/infer", "POST")):
        refused = call(app, method, f"{model}/versions/4{rest}", content=b"{}")
        assert refused.status_code == 404
        assert "are 1, 2, 3" in refused.json()["error"]


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
    status = until(registry, lambda status: status.versions[3].counts.mirrored == 20)
    assert status.versions[3].counts.difference > 0
    assert status.versions[3].counts.requests == 0


def test_a_shadow_that_fails_or_is_slow_touches_no_answer(
    registry: Registry, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(registry, lambda seen: releases.set_shadow(seen, 3, "t"))
    until(registry, holds(3))
    shadow = follower.serving.plan.mirror
    assert shadow is not None

    def fail(rows: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(shadow.shadow, "predict_rows", fail)
    assert versions(post(follower, [ROW] * 6)) == {"1": 6}
    until(registry, lambda status: status.versions[3].counts.mirror_failed == 6)

    entered, free = threading.Event(), threading.Event()

    def hang(rows: list[object]) -> None:
        entered.set()
        free.wait(60)
        raise RuntimeError("late")

    monkeypatch.setattr(shadow.shadow, "predict_rows", hang)
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
    (measured,) = post(follower, [{"rows": rows, "labels": labels}], "/feedback")
    assert measured.status_code == 200
    loss = measured.json()["loss"]
    assert (measured.json()["rows"], loss["1"]) == (40, 0)
    trial = until(registry, lambda status: status.versions[2].counts.labels == 40).versions[2].trial
    assert trial is not None
    assert (trial.paired, trial.requests) == (40, 0)
    assert trial.excess == pytest.approx(40 * loss["2"])


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
    trial = follower.serving.plan.trial
    assert trial is not None

    def fail(rows: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(trial.model._batcher, "_run", fail)
    watch = Watch(registry, "boxes")
    verdict = watch.look()
    assert verdict is not None
    assert verdict.outcome == "go on"
    statuses = Counter(each.status_code for each in post(follower, [ROW] * 200))
    until(registry, lambda status: _trial_requests(status) == 200)
    verdict = watch.look()
    assert verdict is not None
    assert verdict.outcome == "roll back"
    until(registry, lambda status: status.canary_since is None)
    assert versions(post(follower, [ROW] * 50)) == {"1": 50}
    entry = registry.history("boxes")[-1]
    assert (entry["action"], entry["version"]) == ("end canary", 2)
    assert f"{statuses[500]} of its {statuses[500]} requests failed" in entry["reason"]
    assert entry["figures"]["champion_requests"] == statuses[200]
    assert watch.look() is None


def _trial_requests(status: ReplicaStatus) -> int:
    return sum(each.trial.requests for each in status.versions.values() if each.trial)


def test_guards_promote_a_canary_that_passed(registry: Registry, follower: Follower) -> None:
    guards = GuardSettings(window_s=0.001, min_requests=20, distribution=None, p99_ratio=None)
    canary = Canary(version=2, weight=0.5, guards=guards)
    change(registry, lambda seen: releases.start_canary(seen, canary, "t"))
    until(registry, holds(2))
    post(follower, [ROW] * 100)
    status = until(registry, lambda status: _trial_requests(status) == 100)
    predicted = status.versions[2].trial
    assert predicted is not None
    assert sum(predicted.predictions) == predicted.requests
    # A watch that begins anew knows from the release what is watched.
    verdict = Watch(registry, "boxes").look()
    assert verdict is not None
    assert verdict.outcome == "promote"
    until(registry, lambda status: status.champion == 2)
    assert "passed its window" in registry.history("boxes")[-1]["reason"]


def test_a_replica_that_ends_takes_its_status_away(registry: Registry) -> None:
    follower = Follower(registry, "boxes", load)
    follower.start()
    until(registry, holds(1))
    follower.close()
    assert read_statuses(registry.folder("boxes")) == []
