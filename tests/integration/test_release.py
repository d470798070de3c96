"""A release on a real endpoint with two replicas: what changes while requests come loses none."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from rayml.cli import main
from rayml.config.components.trust import Trust
from rayml.registry.bundle.manifest import write_manifest
from rayml.registry.store import Registry
from rayml.serve.endpoint import Endpoint, start
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.canary_watch import CanaryWatch
from rayml.serve.release.status import read_statuses
from rayml.settings.serve import GrpcSettings, ReplicaSettings, ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.integration.grpc_calls import calling, channel, infer, infer_request, near

pytestmark = pytest.mark.alone

ROW = {"size": 1.5, "colour": "red"}
LARGE = {"size": 1e6, "colour": "red"}
RAISES = {"_target_": "tests.integration.raising_model.RaisesOnLarge"}
TRUST = Trust(modules=("tests.integration.raising_model",))


def mlp(width: int) -> dict[str, object]:
    return {"_target_": "rayml.models.nets.mlp.MLP", "width": width, "depth": 2}


@pytest.fixture(scope="module")
def registry(boxes: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Versions 1 to 3 are sound, 4 fails on some rows, 5 cannot be made, 6 is copied half-way."""
    folder = tmp_path_factory.mktemp("release")
    registry = Registry(folder / "registry")
    for number, model in enumerate([mlp(8), mlp(16), mlp(24), RAISES, RAISES, mlp(8)]):
        bundle = untrained_bundle(
            folder / str(number), boxes, target="label", task="binary", name="boxes", model=model
        )
        registry.register(bundle)
    return registry


@pytest.fixture(scope="module")
def endpoint(registry: Registry, ray_session: None) -> Iterator[Endpoint]:
    rayml(registry, "promote", "1")
    running = start(
        registry.resolve("boxes"),
        version="1",
        settings=ServeSettings(
            port=0, grpc=GrpcSettings(port=0), replicas=ReplicaSettings(min=2, max=2, cpu=0.5)
        ),
        follows=True,
        trust=TRUST,
    )
    pause = threading.Event()
    while len(read_statuses(registry.folder("boxes"))) < 2:
        pause.wait(0.1)
    yield running
    running.stop()
    assert read_statuses(registry.folder("boxes")) == []


def rayml(registry: Registry, *words: str) -> int:
    return main([*words, "name=boxes", f"paths.registry={registry.root}"])


def ask(endpoint: Endpoint, row: object, count: int, **headers: str) -> list[httpx.Response]:
    """Answers to the same row over connections of their own, so that every replica is met."""

    def one(_: int) -> httpx.Response:
        with httpx.Client(base_url=endpoint.url, timeout=60) as client:
            return client.post("/predict", json=row, headers=headers)

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(one, range(count)))


@contextmanager
def load(endpoint: Endpoint) -> Iterator[Counter[tuple[int, str, float]]]:
    """Requests from four threads until the block ends, counted by what was answered."""
    seen: Counter[tuple[int, str, float]] = Counter()
    done, lock = threading.Event(), threading.Lock()

    def work() -> None:
        with httpx.Client(base_url=endpoint.url, timeout=60) as client:
            while not done.is_set():
                response = client.post("/predict", json=ROW)
                (answer,) = response.json().get("predictions", [{"probability": -1.0}])
                key = response.headers["x-model-version"], round(answer["probability"], 5)
                with lock:
                    seen[response.status_code, *key] += 1

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(work) for _ in range(4)]
        try:
            yield seen
        finally:
            done.set()
        for each in running:
            each.result()


def test_promotions_and_a_roll_back_under_load_fail_nothing(
    endpoint: Endpoint, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    with load(endpoint) as seen:
        assert rayml(registry, "promote", "2") == 0
        assert rayml(registry, "promote", "3") == 0
        assert rayml(registry, "rollback") == 0
        after = ask(endpoint, ROW, 8)
    assert {each.headers["x-model-version"] for each in after} == {"2"}
    own = {
        str(number): Predictor.load(registry.resolve("boxes", number)).predict_rows([ROW])[0]
        for number in (1, 2, 3)
    }
    for status, version, probability in seen:
        assert status == 200
        assert probability == pytest.approx(own[version]["probability"], abs=2e-5)
    assert {version for _, version, _ in seen} == {"1", "2", "3"}
    assert capsys.readouterr().out.count("2 replicas follow") == 3


def test_promotions_and_a_roll_back_under_calls_of_grpc_fail_nothing(
    endpoint: Endpoint, registry: Registry
) -> None:
    asked = infer_request("boxes", size=1.5, colour="red")
    answers = [Predictor.load(registry.resolve("boxes", n)).predict_rows([ROW])[0] for n in (2, 3)]
    right = {version: near(version, each) for version, each in zip("23", answers, strict=True)}
    with calling(endpoint.grpc_address, [(asked, right["2"] | right["3"])], clients=4) as calls:
        calls.wait_for_more("right", 20)
        assert rayml(registry, "promote", "3") == 0
        calls.wait_for_more("right", 20)
        assert rayml(registry, "rollback") == 0
        calls.wait_for_more("right", 20)
    assert set(calls.seen) == {"right"}, calls
    assert calls.versions == {"2", "3"}


def test_versions_that_cannot_serve_leave_the_old_one(
    endpoint: Endpoint, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = registry.resolve("boxes", 6) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    champion = registry.release("boxes").champion
    with load(endpoint) as seen:
        assert rayml(registry, "promote", "6") == 1
        assert "weights.safetensors" in capsys.readouterr().err
        _name_what_is_not_there(registry, 5)
        assert rayml(registry, "promote", "5") == 1
    told = capsys.readouterr().err
    assert "no.such.model" in told
    assert "The change was undone" in told
    assert registry.release("boxes").champion == champion
    assert {(status, version) for status, version, _ in seen} == {(200, str(champion))}
    assert "does not load" in registry.history("boxes")[-1]["reason"]


def _name_what_is_not_there(registry: Registry, version: int) -> None:
    from rayml.registry.bundle.manifest import write_manifest

    bundle = registry.resolve("boxes", version)
    info = bundle / "bundle.json"
    info.write_text(info.read_text().replace(RAISES["_target_"], "no.such.model"))
    (bundle / "manifest.json").unlink()
    write_manifest(bundle)


def test_a_canary_and_a_shadow_run_beside_the_champion(
    endpoint: Endpoint, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = str(registry.release("boxes").champion)
    canary = ["serve.canary.version=3", "serve.canary.weight=0.3", "serve.canary.key=header:x-user"]
    assert rayml(registry, "release", "canary", *canary, "serve.canary.guards=null") == 0
    assert rayml(registry, "release", "shadow", "serve.shadow=1") == 0
    users = [
        {each.headers["x-model-version"] for each in ask(endpoint, ROW, 3, **{"x-user": f"u{n}"})}
        for n in range(14)
    ]
    assert all(len(versions) == 1 for versions in users)
    assert set.union(*users) == {champion, "3"}
    # The metadata of a call are its headers, so a key stays where it is whatever the protocol.
    with channel(endpoint.grpc_address) as opened:
        for number, versions in enumerate(users):
            answer = infer(opened)(
                infer_request("boxes", size=1.5), metadata=(("x-user", f"u{number}"),), timeout=60
            )
            assert {answer.model_version} == versions
    share = Counter(each.headers["x-model-version"] for each in ask(endpoint, ROW, 80))
    assert set(share) == {champion, "3"}
    assert 5 < share["3"] < 50
    pause = threading.Event()
    while not sum(
        each.versions[1].counts.shadowed for each in read_statuses(registry.folder("boxes"))
    ):
        pause.wait(0.1)
    capsys.readouterr()
    assert rayml(registry, "release") == 0
    shown = capsys.readouterr().out
    for word in ("canary 0.3 by header:x-user", "shadow", "shadowed", "2 of 2", "rayml rollback"):
        assert word in shown
    assert rayml(registry, "release", "canary") == 0
    assert rayml(registry, "release", "shadow") == 0
    answers = ask(endpoint, ROW, 20)
    assert {each.headers["x-model-version"] for each in answers} == {champion}


def test_guards_roll_back_a_canary_that_errs_and_write_why(
    endpoint: Endpoint, registry: Registry
) -> None:
    champion = registry.release("boxes").champion
    words = ["serve.canary.version=4", "serve.canary.weight=0.5"]
    assert rayml(registry, "release", "canary", *words) == 0
    watch, decision = CanaryWatch(registry, "boxes"), None
    while registry.release("boxes").canary is not None:
        statuses = {each.status_code for each in ask(endpoint, LARGE, 20)}
        assert statuses <= {200, 500}
        decision = watch.look() or decision
    assert decision is not None
    assert decision.outcome == "roll back"
    entry = registry.history("boxes")[-1]
    assert (entry["action"], entry["version"], entry["champion"]) == ("end canary", 4, champion)
    assert "requests failed, of the champion's 0 of" in entry["reason"]
    assert entry["figures"]["canary_failed"] > 0
    revision = registry.release("boxes").revision
    pause = threading.Event()
    while any(each.revision < revision for each in read_statuses(registry.folder("boxes"))):
        pause.wait(0.05)
    assert {each.status_code for each in ask(endpoint, LARGE, 20)} == {200}


def test_a_version_that_names_other_code_runs_none_of_it(
    endpoint: Endpoint, registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    champion, ran = registry.release("boxes").champion, tmp_path / "ran"
    command = {"_target_": "os.system", "command": f"touch {ran}"}
    model = {"_target_": "rayml.models.nets.mlp.MLP"}
    inner = {"_target_": "tests.integration.raising_model.torch.hub.os.system"}
    for node in (command, {**model, "width": command}, {**model, "depth": 10**9}, inner):
        _write_info(registry, 5, json.dumps(node))
        assert rayml(registry, "promote", "5") == 1
        # A replica withdraws what the command could read.
        said = capsys.readouterr().err
        undone = "The change was undone" in said
        assert undone or "bundle.json of the bundle cannot be read (model" in said
        assert {each.headers["x-model-version"] for each in ask(endpoint, ROW, 4)} == {
            str(champion)
        }
    assert rayml(registry, "release", "shadow", "serve.shadow=5") == 1
    assert registry.release("boxes").champion == champion
    assert not ran.exists()


def _write_info(registry: Registry, version: int, model: str) -> None:
    bundle = registry.resolve("boxes", version)
    info = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**info, "model": json.loads(model)}))
    write_manifest(bundle)
