"""The Open Inference Protocol over REST, called as a server calls it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayml.errors import RequestError
from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.infer_request import read_request
from rayml.serve.tensors.tensors import tensor_from_bytes, tensor_from_values
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

SETTINGS = ServeSettings(max_rows=3000)
SIZES, COLOURS = [1.5, -2.0, float("nan")], ["red", "", "violet"]


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


@pytest.fixture(scope="module")
def app(boxes: Predictor) -> EndpointApp:
    model = ServedModel(boxes, version="3", settings=SETTINGS)
    return EndpointApp(OneVersion(model), settings=SETTINGS)


def infer(app: EndpointApp, request: dict[str, Any], binary: bytes = b"", **more: Any) -> Any:
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if binary else {}
    headers |= more.pop("headers", {})
    path = more.pop("path", "/v2/models/boxes/infer")
    return call(app, "POST", path, content=head + binary, headers=headers, **more)


def json_inputs(sizes: list[Any] = SIZES, colours: list[Any] = COLOURS) -> list[dict[str, Any]]:
    return [
        {"name": "size", "datatype": "FP64", "shape": [len(sizes)], "data": sizes},
        {
            "name": "colour",
            "datatype": "BYTES",
            "shape": [len(colours), 1],
            "data": [[colour] for colour in colours],
        },
    ]


def binary_inputs(sizes: list[float], colours: list[str]) -> tuple[list[dict[str, Any]], bytes]:
    count = len(sizes)
    tensors = [
        tensor_from_values("size", "FP64", [count], sizes),
        tensor_from_values("colour", "BYTES", [count], colours),
    ]
    raws = [tensor.to_bytes() for tensor in tensors]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": [count],
            "parameters": {"binary_data_size": len(raw)},
        }
        for tensor, raw in zip(tensors, raws, strict=True)
    ]
    return inputs, b"".join(raws)


def read(response: httpx.Response) -> dict[str, list[Any]]:
    """Values of the outputs by name, from JSON and binary alike."""
    length = int(response.headers.get("inference-header-content-length", len(response.content)))
    body, raw = json.loads(response.content[:length]), response.content[length:]
    outputs, at = {}, 0
    for output in body["outputs"]:
        if "data" in output:
            outputs[output["name"]] = output["data"]
            continue
        size = output["parameters"]["binary_data_size"]
        piece = raw[at : at + size]
        at += size
        tensor = tensor_from_bytes(output["name"], output["datatype"], output["shape"], piece)
        outputs[output["name"]] = tensor.to_list()
    assert at == len(raw)
    return outputs


def expected(boxes: Predictor, sizes: list[float], colours: list[str]) -> dict[str, list[Any]]:
    table = pa.table({"size": sizes, "colour": [colour or None for colour in colours]})
    names = [column.name for column in boxes.signature.inputs]
    rows = [{k: v for k, v in row.items() if k in names} for row in table.to_pylist()]
    answers = boxes.predict_rows(rows)
    return {
        "label": [answer["label"] for answer in answers],
        "probability": [answer["probability"] for answer in answers],
        "probabilities": [p for answer in answers for p in answer["probabilities"].values()],
    }


def alike(got: dict[str, list[Any]], own: dict[str, list[Any]]) -> None:
    assert got.keys() == own.keys()
    for name, values in own.items():
        if name == "label":
            assert got[name] == values
        else:
            np.testing.assert_allclose(got[name], values, atol=1e-6)


def test_it_says_what_is_served(app: EndpointApp) -> None:
    for path in ("/v2", "/v2/"):
        server = call(app, "GET", path).json()
        assert server["name"] == "rayml"
        assert server["extensions"] == ["binary_tensor_data"]
    assert call(app, "GET", "/v2/health/live").json() == {"live": True}
    assert call(app, "GET", "/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/boxes", "/v2/models/boxes/versions/3"):
        described = call(app, "GET", path).json()
        assert (described["name"], described["versions"]) == ("boxes", ["3"])
        assert [each["name"] for each in described["outputs"]] == [
            "label",
            "probability",
            "probabilities",
        ]
        assert call(app, "GET", f"{path}/ready").json() == {"name": "boxes", "ready": True}


@pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
@pytest.mark.parametrize("path", ["/v2/models/bags", "/v2/models/boxes/versions/4", "/v2/nothing"])
def test_what_is_not_served_is_not_found(app: EndpointApp, path: str, rest: str) -> None:
    method = "POST" if rest == "/infer" else "GET"
    response = call(app, method, path + rest, content=b"{}")
    assert response.status_code == 404
    assert isinstance(response.json()["error"], str)


@pytest.mark.parametrize("path", ["/v2/models/boxes/infer", "/v2/models/boxes/versions/3/infer"])
def test_json_tensors_are_answered(app: EndpointApp, boxes: Predictor, path: str) -> None:
    response = infer(app, {"id": "42", "inputs": json_inputs()}, path=path)
    assert response.status_code == 200
    body = response.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("boxes", "3", "42")
    assert [output["shape"] for output in body["outputs"]] == [[3], [3], [3, 2]]
    alike(read(response), expected(boxes, SIZES, COLOURS))
    assert "id" not in infer(app, {"inputs": json_inputs()}).json()


def test_null_is_a_missing_value(app: EndpointApp) -> None:
    nulls = infer(app, {"inputs": json_inputs([1.5, None], ["red", None])})
    empty = infer(app, {"inputs": json_inputs([1.5, float("nan")], ["red", ""])})
    assert nulls.status_code == 200
    assert nulls.content == empty.content


@pytest.mark.parametrize("repeat", [1, 1000])
def test_binary_tensors_are_answered_in_kind(
    app: EndpointApp, boxes: Predictor, repeat: int
) -> None:
    """Few rows on the event loop, many in a thread."""
    sizes, colours = SIZES * repeat, COLOURS * repeat
    inputs, raw = binary_inputs(sizes, colours)
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    response = infer(app, request, raw)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    assert b'"data"' not in response.content
    alike(read(response), expected(boxes, sizes, colours))


def test_json_and_binary_may_be_mixed(app: EndpointApp, boxes: Predictor) -> None:
    inputs, _ = binary_inputs(SIZES, COLOURS)
    raw = tensor_from_values("size", "FP64", [3], SIZES).to_bytes()
    request = {
        "inputs": [json_inputs()[1], inputs[0]],
        "parameters": {"binary_data_output": True},
        "outputs": [
            {"name": "probability"},
            {"name": "label", "parameters": {"binary_data": False}},
        ],
    }
    response = infer(app, request, raw)
    own = expected(boxes, SIZES, COLOURS)
    alike(read(response), {name: own[name] for name in ("probability", "label")})
    length = int(response.headers["inference-header-content-length"])
    probability, label = json.loads(response.content[:length])["outputs"]
    assert probability["parameters"] == {"binary_data_size": 24}
    assert label["data"] == own["label"]


def test_outputs_are_those_that_are_asked_for(app: EndpointApp) -> None:
    request = {"inputs": json_inputs(), "outputs": [{"name": "label"}]}
    assert [each["name"] for each in infer(app, request).json()["outputs"]] == ["label"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("repeat", [40, 1000])
def test_bodies_are_compressed_both_ways(
    app: EndpointApp, boxes: Predictor, encoding: str, repeat: int
) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding]
    sizes, colours = SIZES * repeat, COLOURS * repeat
    body = json.dumps({"inputs": json_inputs(sizes, colours)}).encode()
    response = call(
        app,
        "POST",
        "/v2/models/boxes/infer",
        content=pack(body),
        headers={"content-encoding": encoding, "accept-encoding": encoding},
    )
    assert response.headers["content-encoding"] == encoding
    assert int(response.headers["content-length"]) < len(response.content)
    alike(read(response), expected(boxes, sizes, colours))


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"inputs": "x"}, 400, "inputs"),
        ({"inputs": [{"name": "size"}]}, 400, "inputs.0"),
        ({"inputs": [{"name": "size", "datatype": "FP64", "shape": [1]}]}, 400, "neither data"),
        ({"id": 7}, 400, "id"),
        ({"outputs": [{"name": "spread"}]}, 400, "unknown output"),
        (
            {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            400,
            "extension",
        ),
        ({"parameters": {"binary_data_output": 1}}, 400, "true or false"),
        ({"inputs": json_inputs([1.0] * 3001, ["red"] * 3001)}, 413, "more than 3000 rows"),
        ({"inputs": json_inputs(["x"], ["red"])}, 400, "not a number"),
    ],
)
def test_what_is_no_request_is_refused(
    app: EndpointApp, change: dict[str, Any], status: int, named: str
) -> None:
    response = infer(app, {"inputs": json_inputs()} | change)
    assert response.status_code == status
    assert named in response.json()["error"]


def test_binary_tensors_that_are_torn_are_refused(app: EndpointApp) -> None:
    inputs, raw = binary_inputs(SIZES, COLOURS)
    request = {"inputs": inputs}
    for torn in (raw[:-1], raw + b"x", raw[:10]):
        assert infer(app, request, torn).status_code == 400
    for length in ("x", "-1", "100000", ""):
        headers = {"Inference-Header-Content-Length": length}
        response = infer(app, request, raw, headers=headers)
        assert response.status_code == 400
        assert "Inference-Header-Content-Length" in response.json()["error"]
    assert call(app, "POST", "/v2/models/boxes/infer", content=b"{").status_code == 400


SOUND = json.dumps({"inputs": binary_inputs(SIZES, COLOURS)[0]}).encode()
RAW = binary_inputs(SIZES, COLOURS)[1]
TOKENS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"inputs"', b":", b",", b'"shape"', b"-1", b"1e9", b"\xff", b"null"]
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(TOKENS, max_size=20).map(b"".join),
        st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=3)).map(
            lambda change: SOUND[: change[0]] + change[1] + SOUND[change[0] + 1 :]
        ),
    ),
    st.binary(max_size=60) | st.just(RAW),
    st.integers(-20, 20),
)
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_is_a_request_or_a_request_error(head: bytes, raw: bytes, shift: int) -> None:
    headers = {b"inference-header-content-length": str(len(head) + shift).encode()}
    for given_headers in (headers, {}):
        with suppress(RequestError):
            read_request(head + raw, given_headers)


def test_small_requests_share_a_batch(boxes: Predictor) -> None:
    settings = replace(SETTINGS, batch_wait_s=0.05)
    model = ServedModel(boxes, version="3", settings=settings)
    batches = []
    run = model.tensors._batcher._run

    def counted(tables: Any) -> Any:
        batches.append(len(tables))
        return run(tables)

    model.tensors._batcher._run = counted  # type: ignore[method-assign]

    async def main() -> list[Any]:
        one = [tensor_from_values("size", "FP64", [2], [1.0, 2.0])]
        two = [tensor_from_values("colour", "BYTES", [1], ["red"])]
        return await asyncio.gather(
            *(model.tensors.infer(inputs, ["probability"]) for inputs in (one, two, one))
        )

    answers = asyncio.run(main())
    assert batches == [3]
    assert [each.shape for (each,) in answers] == [(2,), (1,), (2,)]
    own = boxes.predict_rows([{"size": 1.0}, {"size": 2.0}, {"colour": "red"}])
    got = [p for (each,) in answers[:2] for p in each.to_list()]
    np.testing.assert_allclose(got, [answer["probability"] for answer in own], atol=1e-6)
    model.close()
