"""The service of gRPC, called over a real socket and without Ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayml.serve.access.guard import Guard
from rayml.serve.access.keys import Keys, new_key
from rayml.serve.access.rate import Rate
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc import open_inference_pb2 as messages
from rayml.serve.grpc.handlers import METHODS, SERVICE, add_to_server
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.grpc.service import InferenceService
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.tensors import tensor_from_bytes, tensor_from_values
from rayml.settings.serve import ServeSettings

SETTINGS = ServeSettings(max_rows=3000, max_body_bytes=100_000)
SIZES, COLOURS = [1.5, -2.0, float("nan")], ["red", "", "violet"]
Call = Callable[..., Any]


class Service(InferenceService):
    def __init__(self, app: Any) -> None:
        self._app = app


@contextmanager
def serving(app: Any) -> Iterator[grpc.Channel]:
    """A server of gRPC in a thread, with a channel to it."""
    started: Any = threading.Event()
    address: list[str] = []

    async def run() -> None:
        server = grpc.aio.server()
        add_to_server(Service(app), server)
        address.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        stop.append(asyncio.Event())
        loop.append(asyncio.get_running_loop())
        started.set()
        await stop[0].wait()
        await server.stop(None)

    stop: list[asyncio.Event] = []
    loop: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait(30)
    try:
        with grpc.insecure_channel(address[0]) as channel:
            yield channel
    finally:
        loop[0].call_soon_threadsafe(stop[0].set)
        thread.join()


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


def make_app(boxes: Predictor, settings: ServeSettings = SETTINGS) -> EndpointApp:
    model = ServedModel(boxes, version="3", settings=settings)
    return EndpointApp(OneVersion(model), settings=settings)


@pytest.fixture(scope="module")
def channel(boxes: Predictor) -> Iterator[grpc.Channel]:
    with serving(make_app(boxes)) as channel:
        yield channel


def ask(channel: grpc.Channel, method: str, request: Any = None, **more: Any) -> Any:
    kind = getattr(messages, f"{method}Request")
    call = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda each: (
            each if isinstance(each, bytes) else each.SerializeToString()
        ),
        response_deserializer=getattr(messages, f"{method}Response").FromString,
    )
    return call(kind() if request is None else request, timeout=60, **more)


def refused(channel: grpc.Channel, method: str, request: Any, **more: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, method, request, **more)
    return caught.value.code(), caught.value.details()


def infer_request(
    sizes: list[float] = SIZES, colours: list[str] = COLOURS, *, raw: bool, **more: Any
) -> ModelInferRequest:
    request = ModelInferRequest(model_name="boxes", **more)
    size = request.inputs.add(name="size", datatype="FP64", shape=[len(sizes)])
    colour = request.inputs.add(name="colour", datatype="BYTES", shape=[len(colours), 1])
    if raw:
        tensors = (
            tensor_from_values("size", "FP64", [len(sizes)], sizes),
            tensor_from_values("colour", "BYTES", [len(colours)], colours),
        )
        request.raw_input_contents.extend(tensor.to_bytes() for tensor in tensors)
    else:
        size.contents.fp64_contents.extend(sizes)
        colour.contents.bytes_contents.extend(each.encode() for each in colours)
    return request


def read(response: ModelInferResponse) -> dict[str, list[Any]]:
    """Values of the outputs by name, from typed and raw contents alike."""
    values: dict[str, list[Any]] = {}
    for index, output in enumerate(response.outputs):
        if response.raw_output_contents:
            raw = response.raw_output_contents[index]
            tensor = tensor_from_bytes(output.name, output.datatype, tuple(output.shape), raw)
            values[output.name] = tensor.to_list()
        elif output.datatype == "BYTES":
            values[output.name] = [each.decode() for each in output.contents.bytes_contents]
        else:
            assert output.datatype == "FP64"
            values[output.name] = list(output.contents.fp64_contents)
    return values


def expected(boxes: Predictor, sizes: list[float], colours: list[str]) -> dict[str, list[Any]]:
    rows = [
        {"size": None if size != size else size, "colour": colour or None}
        for size, colour in zip(sizes, colours, strict=True)
    ]
    answers = boxes.predict_rows(rows)
    return {
        "label": [answer["label"] for answer in answers],
        "probability": [answer["probability"] for answer in answers],
        "probabilities": [p for answer in answers for p in answer["probabilities"].values()],
    }


def test_the_server_is_alive_ready_and_described(channel: grpc.Channel) -> None:
    assert ask(channel, "ServerLive").live
    assert ask(channel, "ServerReady").ready
    described = ask(channel, "ServerMetadata")
    assert described.name == "rayml"
    assert described.version
    assert "binary_tensor_data" in described.extensions


def test_a_model_is_ready_and_described_by_name_and_by_version(channel: grpc.Channel) -> None:
    for version in ("", "3"):
        named = messages.ModelReadyRequest(name="boxes", version=version)
        assert ask(channel, "ModelReady", named).ready
        described = ask(
            channel, "ModelMetadata", messages.ModelMetadataRequest(name="boxes", version=version)
        )
        assert (described.name, list(described.versions)) == ("boxes", ["3"])
        inputs = {each.name: (each.datatype, list(each.shape)) for each in described.inputs}
        assert inputs["size"] == ("FP64", [-1])
        assert inputs["colour"] == ("BYTES", [-1])
        assert [each.name for each in described.outputs] == [
            "label",
            "probability",
            "probabilities",
        ]


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_contents_are_answered_as_they_were_asked(
    channel: grpc.Channel, boxes: Predictor, raw: bool
) -> None:
    response = ask(channel, "ModelInfer", infer_request(raw=raw, id="q-1", model_version="3"))
    assert (response.id, response.model_name, response.model_version) == ("q-1", "boxes", "3")
    assert bool(response.raw_output_contents) == raw
    shapes = {each.name: (each.datatype, list(each.shape)) for each in response.outputs}
    assert shapes == {
        "label": ("BYTES", [3]),
        "probability": ("FP64", [3]),
        "probabilities": ("FP64", [3, 2]),
    }
    own, got = expected(boxes, SIZES, COLOURS), read(response)
    assert got["label"] == own["label"]
    for name in ("probability", "probabilities"):
        assert got[name] == pytest.approx(own[name], abs=1e-6)


def test_only_the_outputs_that_are_asked_for_come_back_in_their_order(
    channel: grpc.Channel,
) -> None:
    request = infer_request(raw=True)
    for name in ("probabilities", "label"):
        request.outputs.add(name=name)
    response = ask(channel, "ModelInfer", request)
    assert [each.name for each in response.outputs] == ["probabilities", "label"]
    assert len(response.raw_output_contents) == 2
    request.outputs.add(name="colour")
    code, details = refused(channel, "ModelInfer", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "probabilities" in details


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_many_rows_are_answered_in_their_order(
    channel: grpc.Channel, boxes: Predictor, raw: bool
) -> None:
    sizes = np.random.default_rng(0).normal(size=2500).tolist()
    colours = [COLOURS[n % 3] for n in range(2500)]
    response = ask(channel, "ModelInfer", infer_request(sizes, colours, raw=raw))
    own, got = expected(boxes, sizes, colours), read(response)
    assert got["label"] == own["label"]
    assert got["probability"] == pytest.approx(own["probability"], abs=1e-6)


@pytest.mark.parametrize("datatype", ["INT8", "INT64", "UINT16", "UINT64", "FP32"])
def test_other_datatypes_of_a_number_give_the_same_answer(
    channel: grpc.Channel, boxes: Predictor, datatype: str
) -> None:
    field = {
        "INT8": "int_contents",
        "INT64": "int64_contents",
        "UINT16": "uint_contents",
        "UINT64": "uint64_contents",
        "FP32": "fp32_contents",
    }[datatype]
    request = ModelInferRequest(model_name="boxes")
    tensor = request.inputs.add(name="size", datatype=datatype, shape=[2])
    getattr(tensor.contents, field).extend([2, 4])
    answers = read(ask(channel, "ModelInfer", request))
    (own,) = [boxes.predict_rows([{"size": 2.0}, {"size": 4.0}])]
    assert answers["probability"] == pytest.approx([each["probability"] for each in own], abs=1e-6)


def wrong(**change: Any) -> ModelInferRequest:
    """A request whose first input is changed."""
    request = infer_request(raw=False)
    for name, value in change.items():
        if name in {"datatype", "name"}:
            setattr(request.inputs[0], name, value)
        elif name == "shape":
            request.inputs[0].ClearField("shape")
            request.inputs[0].shape.extend(value)
        else:
            request.inputs[0].ClearField("contents")
            getattr(request.inputs[0].contents, name).extend(value)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (ModelInferRequest(model_name="crates"), "NOT_FOUND", "boxes"),
        (infer_request(raw=True, model_version="9"), "NOT_FOUND", "9"),
        (infer_request(raw=True, model_version="../x"), "NOT_FOUND", "x"),
        (ModelInferRequest(model_name="boxes"), "INVALID_ARGUMENT", "no input"),
        (wrong(datatype="FLOAT"), "INVALID_ARGUMENT", "FLOAT"),
        (wrong(datatype="FP16"), "INVALID_ARGUMENT", "raw_input_contents"),
        (wrong(datatype="INT32"), "INVALID_ARGUMENT", "int_contents"),
        (wrong(fp32_contents=[1, 2, 3]), "INVALID_ARGUMENT", "fp64_contents"),
        (wrong(fp64_contents=[1, 2]), "INVALID_ARGUMENT", "3 elements"),
        (wrong(fp64_contents=[]), "INVALID_ARGUMENT", "3 elements"),
        (wrong(shape=[-3]), "INVALID_ARGUMENT", "shape"),
        (wrong(shape=[]), "INVALID_ARGUMENT", "shape"),
        (wrong(shape=[2**62, 2**62]), "INVALID_ARGUMENT", "elements"),
        (wrong(name="weight"), "INVALID_ARGUMENT", "weight"),
        (wrong(fp64_contents=[1, float("inf"), 2]), "INVALID_ARGUMENT", "row 1"),
        (infer_request([1.0] * 3001, ["red"] * 3001, raw=True), "RESOURCE_EXHAUSTED", "3000"),
        (infer_request([1.0], ["x" * 200_000], raw=True), "RESOURCE_EXHAUSTED", "100000"),
        (b"\xff\xff\xff", "INVALID_ARGUMENT", "ModelInferRequest"),
    ],
)
def test_what_does_not_fit_is_refused(
    channel: grpc.Channel, request_: Any, code: str, says: str
) -> None:
    got, details = refused(channel, "ModelInfer", request_)
    assert got.name == code
    assert says in details


def test_raw_contents_are_for_all_inputs_and_nothing_beside_them(channel: grpc.Channel) -> None:
    request = infer_request(raw=True)
    del request.raw_input_contents[1]
    assert "raw_input_contents" in refused(channel, "ModelInfer", request)[1]
    request = infer_request(raw=True)
    request.inputs[0].contents.fp64_contents.append(1.0)
    assert "typed contents" in refused(channel, "ModelInfer", request)[1]


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
@pytest.mark.parametrize(
    ("name", "version"), [("crates", ""), ("boxes", "9"), ("", ""), ("../boxes", "3"), ("a/b", "")]
)
def test_a_model_or_version_that_is_not_served_is_not_found(
    channel: grpc.Channel, method: str, name: str, version: str
) -> None:
    request = getattr(messages, f"{method}Request")(name=name, version=version)
    assert refused(channel, method, request)[0] is grpc.StatusCode.NOT_FOUND
    torn, _ = refused(channel, method, b"\xff\xff")
    assert torn is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("place", ["inputs", "outputs"])
def test_extensions_that_are_not_served_are_refused(channel: grpc.Channel, place: str) -> None:
    request = infer_request(raw=True)
    request.outputs.add(name="label")
    parameters = getattr(request, place)[0].parameters
    parameters["harmless"].bool_param = True
    assert ask(channel, "ModelInfer", request).outputs
    parameters["shared_memory_region"].string_param = "region"
    code, details = refused(channel, "ModelInfer", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "shared_memory_region" in details


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    raws=st.lists(st.binary(max_size=80), max_size=3),
    datatypes=st.lists(st.sampled_from(["FP64", "INT8", "BOOL", "BYTES", "FP16", "?"]), max_size=3),
    shape=st.lists(st.integers(-2, 2**63 - 1) | st.integers(0, 12), max_size=3),
)
def test_whatever_comes_as_raw_contents_is_answered_or_refused(
    channel: grpc.Channel, raws: list[bytes], datatypes: list[str], shape: list[int]
) -> None:
    request = ModelInferRequest(model_name="boxes", raw_input_contents=raws)
    for name, datatype in zip(("size", "colour", "new"), datatypes, strict=False):
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    answered_or_refused(channel, request)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(body=st.binary(max_size=200) | st.builds(lambda cut: WHOLE[:cut], st.integers(0, 200)))
def test_whatever_bytes_come_are_answered_or_refused(channel: grpc.Channel, body: bytes) -> None:
    answered_or_refused(channel, body)


WHOLE = infer_request(raw=True).SerializeToString()


def answered_or_refused(channel: grpc.Channel, request: Any) -> None:
    with suppress(grpc.RpcError):
        ask(channel, "ModelInfer", request)
        return
    code, details = refused(channel, "ModelInfer", request)
    assert code.name in {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    assert details


def test_metadata_of_a_call_are_headers_of_the_app_and_back(boxes: Predictor) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        body = (await receive())["body"]
        assert body == WHOLE
        headers = [(b"X-Seen", b"yes"), (b"content-type", b"application/x-protobuf")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with serving(app) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        metadata = (
            ("authorization", "Bearer k"),
            ("content-encoding", "gzip"),
            ("tenant-bin", b"\xff"),
        )
        _, answer = call.with_call(WHOLE, metadata=metadata, timeout=60)
    headers = dict(seen[0]["headers"])
    assert headers[b"authorization"] == b"Bearer k"
    assert headers[b"tenant-bin"] == b"\xff"
    assert b"content-encoding" not in headers
    assert seen[0]["client"][0] == "127.0.0.1"
    assert seen[0]["path"] == f"/{SERVICE}/ModelInfer"
    assert ("x-seen", "yes") in [tuple(each) for each in answer.trailing_metadata()]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (408, "DEADLINE_EXCEEDED"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (418, "UNKNOWN"),
    ],
)
def test_errors_of_the_app_have_a_status_of_grpc(status: int, code: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": "no, \xc3\xa4"}'})

    with serving(app) as channel:
        for method in METHODS:
            got, details = refused(channel, method, b"")
            assert (got.name, details) == (code, "no, ä")


def test_a_full_endpoint_and_a_late_answer_are_told_apart(boxes: Predictor) -> None:
    app = make_app(boxes, replace(SETTINGS, request_timeout_s=0.05))
    release = threading.Event()
    whole = app._serving.champion.tensors._predictor.estimate  # type: ignore[attr-defined]

    def slow(features: Any) -> Any:
        release.wait(30)
        return whole(features)

    sizes, colours = [1.0] * 2500, ["red"] * 2500
    with serving(app) as channel, pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "estimate", slow)
        late, _ = refused(channel, "ModelInfer", infer_request(sizes, colours, raw=True))
        app.held = app._capacity
        full, _ = refused(channel, "ModelInfer", infer_request(raw=True))
        app.held = 0
        release.set()
    assert late is grpc.StatusCode.DEADLINE_EXCEEDED
    assert full is grpc.StatusCode.UNAVAILABLE


def test_a_model_that_fails_says_no_more(boxes: Predictor) -> None:
    def fail(features: Any) -> Any:
        raise RuntimeError("a secret of the model")

    with serving(make_app(boxes)) as channel, pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "estimate", fail)
        code, details = refused(channel, "ModelInfer", infer_request(raw=True))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details


def test_keys_scopes_and_rates_hold_for_calls(boxes: Predictor) -> None:
    (reader, read), (boss, rule) = new_key("reader", ["predict"]), new_key("boss", ["admin"])
    model = ServedModel(boxes, version="3", settings=SETTINGS)
    guard = Guard(lambda: Keys([read, rule]), Rate(1e-3, burst=2))
    app = EndpointApp(OneVersion(model), settings=SETTINGS, guard=guard)
    whole = infer_request(raw=True)
    with serving(app) as channel:
        for code, word, metadata in (
            ("UNAUTHENTICATED", "a key is needed", ()),
            ("UNAUTHENTICATED", "unknown", (("authorization", "Bearer wrong"),)),
            ("PERMISSION_DENIED", "predict", (("x-api-key", boss),)),
        ):
            got, details = refused(channel, "ModelInfer", whole, metadata=metadata)
            assert (got.name, word in details) == (code, True)
        assert ask(channel, "ServerLive").live
        key = (("authorization", f"Bearer {reader}"),)
        for _ in range(2):
            assert ask(channel, "ModelInfer", whole, metadata=key).model_version == "3"
        with pytest.raises(grpc.RpcError) as caught:
            ask(channel, "ModelInfer", whole, metadata=key)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(caught.value.trailing_metadata())
    assert int(trailers["grpc-retry-pushback-ms"]) == 1000 * int(trailers["retry-after"]) > 0


def test_an_unknown_call_is_unimplemented(channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"/{SERVICE}/ModelStreamInfer")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_regression_and_a_matrix_of_numbers(tmp_path: Path) -> None:
    from rayml.testing.bundles import untrained_bundle

    rows = pa.table({"a": [1.0, 2.0, 3.0] * 9, "b": [3.0, 1.0, 2.0] * 9, "y": [0.5, 1.5, 2.5] * 9})
    predictor = Predictor.load(
        untrained_bundle(tmp_path / "b", rows, target="y", task="regression", name="boxes")
    )
    request = ModelInferRequest(model_name="boxes")
    request.inputs.add(name="matrix", datatype="FP32", shape=[2, 2])
    request.raw_input_contents.append(np.array([[1, 3], [2, 1]], np.float32).tobytes())
    with serving(make_app(predictor)) as channel:
        answers = read(ask(channel, "ModelInfer", request))
    own = predictor.predict_rows([{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 1.0}])
    assert answers["value"] == pytest.approx([each["value"] for each in own], abs=1e-6)
