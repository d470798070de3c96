"""The endpoint answers what its OpenAPI document says, on every path and with every status."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import yaml
from fastapi.openapi.models import OpenAPI

from rayml.registry import release as releases
from rayml.registry.store import Registry
from rayml.serve.access.guard import make_guard
from rayml.serve.access.keys import Key, new_key
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.grpc.infer import INFER_PATH
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.model.served import ServedModel
from rayml.serve.observe.recorder import Recorder
from rayml.serve.observe.request_counts import RequestCounts
from rayml.serve.openapi.docs import ASSETS
from rayml.serve.openapi.document import openapi
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.counted_rows import CountedRows
from rayml.serve.release.feedback import Feedback
from rayml.serve.release.follower import Follower
from rayml.serve.tensors.tensors import DATATYPES, NUMPY_TYPES
from rayml.settings.serve import KeySettings, RateSettings, ServeSettings
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName
from tests.serve.asgi import call, metrics_route
from tests.serve.conftest import TARGETS
from tests.serve.openapi.contract import Contract

ROW = {"size": 1.5, "colour": "red", "new": True}
STREAM = "application/vnd.apache.arrow.stream"
SETTINGS = ServeSettings(
    max_rows=50, max_explain_rows=2, max_body_bytes=100_000, max_explain_steps=64
)
LIMITED = replace(
    SETTINGS, keys=KeySettings(variable="X"), rate=RateSettings(requests_per_second=1e-6, burst=1)
)


@dataclass
class Served:
    """An endpoint that follows a release, as a replica holds it."""

    task: TaskName
    follower: Follower
    recorder: Recorder
    settings: ServeSettings

    def app(self, keys: tuple[Key, ...] = (), **changes: Any) -> EndpointApp:
        claim = CountedRows(self.follower._folder).claim
        feedback = Route(
            "POST",
            FEEDBACK,
            Feedback(self.follower.serving, claim),
            predicts=True,
            scope="feedback",
        )
        app = EndpointApp(
            self.follower.serving,
            settings=replace(self.settings, **changes),
            router=Router((*ROUTES, feedback, metrics_route(self.recorder))),
            guard=make_guard(None, keys, self.settings.rate),
        )
        self.recorder._load = app.load
        return app

    def document(self) -> dict[str, Any]:
        page = self.follower.serving.champion.pages["/openapi.json"]
        document: dict[str, Any] = json.loads(page.body)
        return document


@pytest.fixture(scope="module", params=TARGETS)
def served(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    yield from _serve(request.param, table, tmp_path_factory, SETTINGS)


@pytest.fixture(scope="module")
def limited(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With keys and a rate of one request."""
    yield from _serve("binary", table, tmp_path_factory, LIMITED)


def _serve(
    task: TaskName, table: pa.Table, factory: pytest.TempPathFactory, settings: ServeSettings
) -> Iterator[Served]:
    folder = factory.mktemp("endpoint")
    target = TARGETS[task]
    inputs = table.select([*table.column_names[:5], target])
    bundle = untrained_bundle(
        folder / "bundle", inputs, target=target, task=task, name="boxes", ensemble=2
    )
    registry = Registry(folder / "registry")
    registry.register(bundle)
    registry.change_release("boxes", lambda seen: releases.promote(seen, 1, "test"))

    def load(folder: Path, version: str) -> ServedModel:
        predictor = Predictor.load(folder)
        return ServedModel(predictor, version=version, settings=settings, measured=True)

    follower = Follower(registry, "boxes", load, requests=RequestCounts("r1"))
    yield Served(task, follower, Recorder("r1", folder), settings)
    follower.serving.close()


def infer_body(*, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Two rows of two tensors; one of them behind the JSON if they are binary."""
    colours = {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", None]}
    sizes = {"name": "size", "datatype": "FP64", "shape": [2, 1]}
    raw = np.array([1.5, 2.0]).tobytes()
    if not binary:
        content = {"id": "42", "inputs": [{**sizes, "data": [[1.5], [2.0]]}, colours]}
        return json.dumps(content).encode(), {}
    inputs = [{**sizes, "parameters": {"binary_data_size": 16}}, colours]
    outputs = {"parameters": {"binary_data_output": True}}
    head = json.dumps({"inputs": inputs, **outputs}).encode()
    return head + raw, {"inference-header-content-length": str(len(head))}


def arrow_body(rows: int = 2) -> bytes:
    table = pa.table({"size": [1.5] * rows, "colour": ["red"] * rows})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


MODELS = ("/v2/models/boxes", "/v2/models/boxes/versions/1")
INFERS = tuple(f"{path}/infer" for path in MODELS)
POSTS = ("/predict", "/explain", FEEDBACK, *INFERS)
TYPES = {"content-type": STREAM}
JSON = {"content-type": "application/json"}


def sound(task: TaskName) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that are answered by 200."""
    labels = {"binary": ["low"], "multiclass": ["b"], "regression": [2.5]}[task]
    gets = ("/", "/healthz", "/readyz", "/metadata", "/metrics", "/openapi.json", "/docs")
    v2 = ("/v2", "/v2/health/live", "/v2/health/ready")
    models = (path + rest for path in MODELS for rest in ("", "/ready"))
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", path, {}) for path in (*gets, *v2, *models)
    ]
    predicted: list[Any] = [ROW, [ROW, {"seen": "2024-05-17T08:30:00Z"}], {"rows": [ROW]}]
    explained: list[Any] = [ROW, [ROW], {"rows": [ROW], "baseline": {"size": 0.0}}]
    requests += [("POST", "/predict", {"json": body}) for body in predicted]
    requests += [("POST", "/explain", {"json": body}) for body in explained]
    requests.append(("POST", FEEDBACK, {"json": {"rows": [ROW], "labels": labels}}))
    for accept in ("application/json", STREAM):
        headers = {**TYPES, "accept": accept}
        requests.append(("POST", "/predict", {"content": arrow_body(), "headers": headers}))
    for path in INFERS:
        for binary in (False, True):
            body, headers = infer_body(binary=binary)
            requests.append(("POST", path, {"content": body, "headers": headers}))
    return requests


def unsound() -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that are refused."""
    requests: list[tuple[str, str, dict[str, Any]]] = []
    for path in POSTS:
        requests.append(("POST", path, {"content": b"{", "headers": JSON}))
        requests.append(("POST", path, {"content": b" " * 100_001, "headers": JSON}))
        coded = JSON | {"content-encoding": "br"}
        requests.append(("POST", path, {"content": b"", "headers": coded}))
    misfit = {"json": [{"size": 1}, {"size": "x"}]}
    requests += [("POST", path, misfit) for path in ("/predict", "/explain")]
    requests.append(("POST", FEEDBACK, {"json": {"rows": [ROW], "labels": []}}))
    requests.append(("POST", FEEDBACK, {"content": b"{}"}))
    arrow = ({"content": body, "headers": TYPES} for body in (b"ARROW1", arrow_body(51)))
    requests += [("POST", "/predict", each) for each in arrow]
    other = ("/v2/models/bags", "/v2/models/boxes/versions/9")
    requests += [("GET", path + rest, {}) for path in other for rest in ("", "/ready")]
    requests += [("POST", f"{path}/infer", {"content": b"{}"}) for path in other]
    return requests


def test_every_answer_is_as_the_document_has_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the document promises is seen, and nothing else."""
    contract = Contract(served.document(), closed=True)
    app = served.app()
    for method, path, request in sound(served.task):
        response = call(app, method, path, **request)
        assert response.status_code == 200, (path, response.text)
        check(contract, response)
    for method, path, request in unsound():
        response = call(app, method, path, **request)
        assert 400 <= response.status_code < 500, (path, response.text)
        contract.check(response)
    for path in POSTS:
        contract.check(asyncio.run(_never_sent(served.app(request_timeout_s=0.01), path)))
    full = served.app()
    full.held = 10**6
    failing = served.app()
    monkeypatch.setattr(served.follower.serving, "choose", _fail)
    for path in POSTS:
        assert call(full, "POST", path, content=b"{}").status_code == 503
        for app in (full, failing):
            contract.check(call(app, "POST", path, content=b"{}"))
    # A page is refused where no replica runs, by whoever stands before the replicas.
    missing = {each for each in contract.promised() if each[1:] != ("get", "503")}
    assert missing - contract.seen == set()


def check(contract: Contract, response: httpx.Response) -> None:
    contract.check(response)
    length = response.headers.get("inference-header-content-length")
    if length is not None:
        described = json.loads(response.content[: int(length)])
        contract.validate(described, {"$ref": "#/components/schemas/InferResponse"})


async def _fail(request: object) -> ServedModel:
    raise RuntimeError("broken")


async def _never_sent(app: EndpointApp, path: str) -> httpx.Response:
    async def endless() -> Any:
        await asyncio.Event().wait()
        yield b""

    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, content=endless(), headers=JSON)


def test_who_is_not_let_in_is_told_as_the_document_has_it(limited: Served) -> None:
    contract = Contract(limited.document(), closed=True)
    (admin, first), (predict, second) = new_key("ops", ["admin"]), new_key("own", ["predict"])
    asked = [(path, method) for path, method, status in contract.promised() if status == "401"]
    assert len(asked) == 14
    for template, method in asked:
        path = template.replace("{name}", "boxes").replace("{version}", "1")
        other = predict if path == "/metrics" else admin
        # Each has a request of its own: the second of the same key is one too many.
        app = limited.app((first, second))
        for headers in ({}, {"x-api-key": other}, {"x-api-key": other}):
            contract.check(call(app, method.upper(), path, headers=headers))
    refused = {each for each in contract.promised() if each[2] in {"401", "403", "429"}}
    assert refused == contract.seen


def test_it_describes_every_path_that_is_served(served: Served) -> None:
    document = served.document()
    OpenAPI.model_validate(document)
    own = {f"/docs/{name}" for name in ASSETS} | {"/v2/", INFER_PATH, f"{INFER_PATH}/{{version}}"}
    assert set(document["paths"]) == set(served.app()._router.paths) - own
    signature = served.follower.serving.champion.signature
    unmeasured = openapi("boxes", "1", signature, settings=SETTINGS)
    assert set(document["paths"]) - set(unmeasured["paths"]) == {FEEDBACK}


def examples(document: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if "post" in methods:
            content = methods["post"]["requestBody"]["content"]["application/json"]
            for each in content["examples"].values():
                yield path, each["value"], content["schema"]


def test_its_examples_fit_it_and_are_answered(served: Served) -> None:
    document = served.document()
    contract = Contract(document, closed=False)
    found = list(examples(document))
    assert {path for path, _, _ in found} == {
        path.replace("boxes", "{name}").replace("/1", "/{version}") for path in POSTS
    }
    for template, value, schema in found:
        contract.validate(value, schema)
        path = template.replace("{name}", "boxes").replace("{version}", "1")
        response = call(served.app(), "POST", path, json=value)
        assert response.status_code == 200, (path, response.text)


def test_each_column_takes_the_datatypes_that_it_names(served: Served) -> None:
    schemas = served.document()["components"]["schemas"]
    taken = {
        name: set(each["properties"]["datatype"]["enum"])
        for each in schemas["InferRequest"]["properties"]["inputs"]["items"]["anyOf"]
        for name in each["properties"]["name"]["enum"]
    }
    assert set(taken) == {"size", "count of parts", "colour", "new", "seen"}
    for name, datatypes in taken.items():
        for datatype in DATATYPES:
            value: Any = NUMPY_TYPES[datatype].type(1).item() if datatype != "BYTES" else ""
            tensor = {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
            response = call(served.app(), "POST", INFERS[0], json={"inputs": [tensor]})
            assert (response.status_code == 200) == (datatype in datatypes), response.text


@pytest.fixture(scope="module")
def specification() -> dict[str, Any]:
    """The protocol's own OpenAPI file, which RAYML_OPEN_INFERENCE_SPECIFICATION gives the path of.

    It is specification/protocol/open_inference_rest.yaml of kserve/open-inference-protocol.
    """
    path = os.environ.get("RAYML_OPEN_INFERENCE_SPECIFICATION")
    if path is None:
        pytest.skip("RAYML_OPEN_INFERENCE_SPECIFICATION is not set")
    document: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return document


def test_answers_are_as_the_protocols_own_file_has_them(
    served: Served, specification: dict[str, Any]
) -> None:
    """It has a version in every path, and no binary tensors, which are an extension."""
    contract = Contract(specification, closed=False)
    app = served.app()
    for path in ("/v2/", "/v2/health/live", "/v2/health/ready", MODELS[1], f"{MODELS[1]}/ready"):
        contract.check(call(app, "GET", path))
    request = examples(served.document())
    bodies = [json.dumps(value).encode() for path, value, _ in request if path.endswith("infer")]
    for body in (*bodies, infer_body(binary=False)[0], b"{"):
        contract.check(call(app, "POST", INFERS[1], content=body))
    assert {each for each in contract.promised() if each[:2] != ("/v2/", "get")} <= contract.seen
    # The versions that it has no paths for, and the errors that it has no status for.
    without = ((INFERS[0], "inference_response"), (MODELS[0], "metadata_model_response"))
    for path, schema in without:
        sent = {"content": bodies[0]} if path == INFERS[0] else {}
        answer = call(app, "POST" if sent else "GET", path, **sent)
        contract.validate(answer.json(), {"$ref": f"#/components/schemas/{schema}"})
    for method, path, refused in unsound():
        if path.startswith("/v2"):
            error = call(app, method, path, **refused).json()
            contract.validate(error, {"$ref": "#/components/schemas/inference_error_response"})
            assert isinstance(error["error"], str)
