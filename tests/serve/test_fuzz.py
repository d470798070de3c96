"""Fuzzing: every operation of the OpenAPI document, and bodies and headers of `/predict`."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from rayml.registry.release import Release
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.http.paths import FEEDBACK
from rayml.serve.model.served import ServedModel
from rayml.serve.observe.recorder import Recorder
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.counted_rows import CountedRows
from rayml.serve.release.feedback import Feedback
from rayml.serve.release.release import Plan, ReleaseServing
from rayml.serve.tensors.arrow import FILE, STREAM
from rayml.serve.tensors.tensors import DATATYPES
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import metrics_route

SETTINGS = ServeSettings(max_body_bytes=100_000, max_held_bytes=100_000, max_rows=50)
COLUMNS = ("size", "count of parts", "colour", "new", "seen")


class Server:
    """The app, asked as over HTTP, on one event loop."""

    def __init__(self, folder: Path, metrics: Path) -> None:
        predictor = Predictor.load(folder)
        model = ServedModel(predictor, version="1", settings=SETTINGS, measured=True)
        plan = Plan(Release(champion=1), model, named={"1": model})
        self._recorder = Recorder("r1", metrics)
        serving = ReleaseServing(plan, self._recorder.counts)
        feedback = Route(
            "POST", FEEDBACK, Feedback(serving, CountedRows(metrics).claim), predicts=True
        )
        routes = (*ROUTES, feedback, metrics_route(self._recorder))
        self._app = EndpointApp(serving, settings=SETTINGS, router=Router(routes))
        self._recorder.start(self._app.load)
        self._runner = asyncio.Runner()
        self.document = json.loads(self.ask("GET", "/openapi.json").content)
        for path, methods in self.document["paths"].items():
            for operation in methods.values() if "{version}" in path else ():
                # Any text is a version; this one goes on to the model.
                operation["parameters"][1]["schema"]["enum"] = ["1"]

    def ask(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, **arguments)

        return self._runner.run(send())

    def close(self) -> None:
        self._runner.close()
        self._recorder.close()


@pytest.fixture(scope="module")
def server(binary_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(binary_bundle, tmp_path_factory.mktemp("metrics"))
    yield running
    running.close()


@st.composite
def arrow_bodies(draw: st.DrawFn, name: str) -> bytes:
    """Tables of which half fit, and the others have any columns; sometimes torn."""
    columns = list(zip(COLUMNS, ARROW_VALUES, strict=True))
    if draw(st.booleans()):
        names = st.sampled_from(COLUMNS) | st.text(max_size=3)
        columns = draw(st.lists(st.tuples(names, st.sampled_from(ARROW_VALUES)), max_size=4))
    table = pa.RecordBatch.from_arrays(
        [pa.array(values) for _, values in columns], names=[name for name, _ in columns]
    )
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_stream if name.endswith("stream") else pa.ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_batch(table)
    body: bytes = sink.getvalue().to_pybytes()
    torn = draw(st.sampled_from([False, False, True]))
    return body[: draw(st.integers(0, len(body)))] if torn else body


ARROW_VALUES: tuple[list[Any], ...] = (
    [1.5, None],
    [3, -1],
    ["red", ""],
    [True, None],
    [datetime(2024, 5, 17, tzinfo=UTC), None],
)


FITTING: tuple[dict[str, Any], ...] = (
    {"name": "size", "datatype": "FP64", "data": [1.5, None]},
    {"name": "count of parts", "datatype": "INT8", "data": [3, -1]},
    {"name": "colour", "datatype": "BYTES", "data": ["red", ""]},
    {"name": "new", "datatype": "BOOL", "data": [True, False]},
    {"name": "seen", "datatype": "BYTES", "data": ["2024-05-17", None]},
)


@st.composite
def infer_bodies(draw: st.DrawFn) -> bytes:
    """Requests of which half fit, and the others may have anything for a part of an input."""
    count = draw(st.integers(1, 5))
    inputs = [{**each, "shape": [2]} for each in draw(st.permutations(FITTING))[:count]]
    if draw(st.booleans()):
        part = draw(st.sampled_from(["name", "datatype", "shape", "data"]))
        instead = scalars | st.lists(scalars, max_size=3) | st.sampled_from(DATATYPES)
        draw(st.sampled_from(inputs))[part] = draw(instead)
    content = {"inputs": inputs, "parameters": {"binary_data_output": draw(st.booleans())}}
    return json.dumps(content).encode()


for each in (STREAM.decode(), FILE.decode()):
    schemathesis.openapi.media_type(each, arrow_bodies(each))
schemathesis.openapi.media_type(
    "application/octet-stream", st.deferred(lambda: infer_bodies() | st.binary(max_size=200))
)


def operations(server: Server) -> list[Any]:
    schema = schemathesis.openapi.from_dict(server.document)
    return [each.ok() for each in schema.get_all_operations()]


def test_every_operation_keeps_its_document(server: Server) -> None:
    """Valid and invalid requests get no 5xx, and only what the document tells of."""
    found = operations(server)
    assert len(found) == 19
    for operation in found:
        for mode in list(GenerationMode):
            exercise(server, operation, mode)


def exercise(server: Server, operation: Any, mode: GenerationMode) -> None:
    """Ask with what fits the document, or with what does not."""
    told = httpx.URL(f"http://test{operation.path}").path

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, suppress_health_check=list(HealthCheck), database=None)
    def conforms(case: Any) -> None:
        arguments = case.as_transport_kwargs(base_url="http://test")
        try:
            prepared = requests.Request(**arguments).prepare()
        except requests.exceptions.RequestException:
            return  # no client could send it
        response = server.ask(
            str(prepared.method),
            str(prepared.url),
            headers=dict(prepared.headers),
            content=prepared.body,
        )
        assert response.status_code < 500, response.text
        assert response.status_code == 200 or response.json()["error"]
        if response.request.url.path == told:
            assert str(response.status_code) in operation.definition.raw["responses"]
        operation.validate_response(response)

    try:
        conforms()
    except Exception as error:
        if type(error).__name__ not in {"Unsatisfiable", "Skip"}:
            raise


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.datetimes(timezones=st.none() | st.timezones()).map(lambda time: time.isoformat())
    | st.sampled_from(
        ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-02-30", "24:00", "1e999"]
    )
)
names = st.sampled_from(COLUMNS) | st.text(max_size=10)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
rows = st.dictionaries(names, values, max_size=5)
documents = (
    rows
    | st.lists(rows | values, max_size=4)
    | st.fixed_dictionaries({"rows": st.lists(rows, max_size=4) | values})
    | values
)


@given(documents)
@settings(max_examples=400)
def test_any_json_is_answered_or_refused(server: Server, document: object) -> None:
    response = server.ask("POST", "/predict", content=json.dumps(document).encode())
    assert response.status_code in {200, 400, 413, 422}, (document, response.text)
    if response.status_code != 200:
        assert isinstance(response.json()["error"], str)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "size": st.floats(allow_nan=False, allow_infinity=False)
            | st.integers(-(10**30), 10**30),
            "colour": st.text(max_size=30) | st.integers(),
            "new": st.booleans(),
            "seen": st.datetimes(timezones=st.none() | st.timezones()).map(
                lambda time: time.isoformat()
            ),
        },
    )
)
@settings(max_examples=200)
def test_any_row_that_fits_the_signature_gets_an_answer(
    server: Server, row: dict[str, Any]
) -> None:
    response = server.ask("POST", "/predict", content=json.dumps(row).encode())
    # The one thing that may be wrong with it: nothing is in it.
    assert response.status_code == (200 if row else 422), (row, response.text)


CODES = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes, "br": bytes}
headers = st.dictionaries(
    st.sampled_from(["content-type", "accept", "content-length", "x-api-key", "authorization"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    max_size=3,
)


@given(st.binary(max_size=300), st.sampled_from(list(CODES)), st.booleans(), headers)
@settings(max_examples=200)
def test_any_bytes_are_refused(
    server: Server, body: bytes, encoding: str, encoded: bool, more: dict[str, str]
) -> None:
    sent = CODES[encoding](body) if encoded else body
    response = server.ask(
        "POST", "/predict", content=sent, headers={**more, "content-encoding": encoding}
    )
    assert 400 <= response.status_code < 500
    assert isinstance(response.json()["error"], str)


@given(st.text(max_size=30), st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "TRACE", "X"]))
def test_any_path_and_method_are_refused_or_answered(
    server: Server, path: str, method: str
) -> None:
    response = server.ask(method, f"/{quote(path)}")
    assert response.status_code < 500
    assert response.status_code == 200 or response.json()["error"]
