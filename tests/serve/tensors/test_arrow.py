"""Arrow IPC on `/predict`, called as a server calls it, by the sound and the hostile."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.errors import RequestError
from rayml.serve.app.app import EndpointApp
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.arrow import FILE, STREAM, ArrowParser, write_answers
from rayml.serve.tensors.arrow_messages import MAX_MESSAGES
from rayml.serve.tensors.output_tensors import OutputTensors
from rayml.settings.serve import ServeSettings
from tests.serve.asgi import call

MAX_ROWS = 100
TABLE = pa.table(
    {
        "colour": ["red", None, "violet"],
        "size": [1.5, -2.0, None],
        "new": [True, None, False],
        "seen": pa.array([0, None, 10**15], pa.timestamp("us", tz="UTC")),
    }
)


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


@pytest.fixture(scope="module")
def parser(boxes: Predictor) -> ArrowParser:
    return ArrowParser(boxes.signature, max_rows=MAX_ROWS, max_bytes=2**20)


@pytest.fixture(scope="module")
def app(boxes: Predictor) -> EndpointApp:
    limits = ServeSettings(max_rows=MAX_ROWS)
    model = ServedModel(boxes, version="3", settings=limits)
    return EndpointApp(OneVersion(model), settings=limits)


def post(app: EndpointApp, body: bytes, kind: bytes, accept: str = "*/*") -> httpx.Response:
    headers = {"content-type": kind.decode(), "accept": accept}
    return call(app, "POST", "/predict", content=body, headers=headers)


def own(boxes: Predictor) -> list[dict[str, Any]]:
    return boxes.predict_rows(TABLE.to_pylist())


@pytest.mark.parametrize(("write", "kind"), [(stream, STREAM), (file, FILE)])
def test_arrow_goes_in_and_json_comes_out(
    app: EndpointApp, boxes: Predictor, write: Any, kind: bytes
) -> None:
    response = post(app, write(TABLE), kind)
    assert response.status_code == 200
    assert response.json() == {"predictions": own(boxes)}


def test_arrow_comes_out_where_it_is_asked_for(app: EndpointApp, boxes: Predictor) -> None:
    response = post(app, stream(TABLE), STREAM, accept=STREAM.decode())
    assert response.headers["content-type"] == STREAM.decode()
    assert answers_of(response.content) == own(boxes)


def answers_of(body: bytes) -> list[dict[str, Any]]:
    """Arrow answers as those of JSON: without `warnings` where it is null, else as an object."""
    answers = pa.ipc.open_stream(body).read_all().to_pylist()
    for answer in answers:
        warnings = answer.pop("warnings")
        if warnings is not None:
            answer["warnings"] = dict(warnings)
    return answers


def test_each_task_has_its_columns(predictor: Predictor, ensemble: Predictor) -> None:
    for each in (predictor, ensemble):
        outputs = OutputTensors(
            each.signature.target, ensemble=each.bundle.info.ensemble is not None
        )
        table = each.table(TABLE.to_pylist())
        estimate = each.estimate(each.features(table)).with_odd(each.odd_of_table(table))
        body = write_answers(estimate, outputs)
        assert answers_of(body) == each.predict(table)


@pytest.mark.parametrize(
    ("name", "values", "read"),
    [
        ("size", pa.array([1, 2], pa.int8()), [1.0, 2.0]),
        ("size", pa.array([1.5, float("nan")], pa.float32()), [1.5, None]),
        ("size", pa.nulls(2), [None, None]),
        ("colour", pa.array(["red", None]).dictionary_encode(), ["red", None]),
        ("colour", pa.array(["red", "a" * 20], pa.string_view()), ["red", "a" * 20]),
        ("colour", pa.array(["red", ""], pa.large_string()), ["red", ""]),
        ("colour", pa.array([7, 8]), ["7", "8"]),
        ("seen", pa.array([date(2024, 1, 1), None]), ["2024-01-01", None]),
        ("seen", pa.array(["2024-01-01", None]), ["2024-01-01", None]),
    ],
)
def test_any_type_of_the_kind_is_read(
    parser: ArrowParser, name: str, values: pa.Array, read: list[Any]
) -> None:
    got = parser.parse(stream(pa.table({name: values}))).column(name)
    if name == "seen":
        assert [v and str(v.date()) for v in got.to_pylist()] == read
    else:
        assert got.to_pylist() == read


@pytest.mark.parametrize(
    ("sent", "status", "named"),
    [
        (pa.table({"weight": [1.0]}), 422, "weight"),
        (pa.table({"size": ["1.0"]}), 422, "column 'size' is of type string"),
        (pa.table({"size": [1.0, float("inf")]}), 422, "row 1, column 'size'"),
        (pa.table({"size": [[1.0]]}), 422, "column 'size' is of type"),
        (pa.table({"size": [{"a": 1}]}), 422, "column 'size' is of type"),
        (pa.table({"size": pa.array([b"1"])}), 422, "column 'size' is of type"),
        (pa.table({"seen": pa.array([2**62], pa.timestamp("s"))}), 422, "row 0, column 'seen'"),
        (pa.table({"seen": [1]}), 422, "column 'seen' is of type"),
        (pa.table([pa.array([1.0])] * 2, names=["size", "size"]), 422, "twice"),
        (pa.table({"size": pa.array([], pa.float64())}), 422, "no row"),
        (pa.table({"size": [1.0] * 101}), 413, "more than 100 rows"),
        (pa.table({}), 422, "no column"),
    ],
)
def test_what_does_not_fit_is_refused(
    app: EndpointApp, sent: pa.Table, status: int, named: str
) -> None:
    response = post(app, stream(sent), STREAM)
    assert response.status_code == status
    assert named in response.json()["error"]


@cache
def hostile() -> dict[str, tuple[bytes, int]]:
    """Bodies that stand for far more than their bytes, or lie; and their statuses."""
    zeros = pa.table({"size": [0.0] * 2_000_000})
    long = pa.array(["a" * 100_000])
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), long)
    _, view, text = long.cast(pa.string_view()).buffers()
    views = pa.Array.from_buffers(
        pa.string_view(), 100, [None, pa.py_buffer(view.to_pybytes() * 100), text]
    )
    nested = pa.array([[[[[1.0]]]]])
    lying = bytearray(stream(pa.table({"colour": ["red", "blue"]})))
    offsets = lying.rindex((3).to_bytes(4, "little") + (7).to_bytes(4, "little"))
    lying[offsets : offsets + 4] = (2**30).to_bytes(4, "little")
    batches = pa.Table.from_batches(TABLE.to_batches() * (MAX_MESSAGES + 1))
    return {
        "zstd": (stream(zeros, compression="zstd"), 415),
        "lz4": (stream(zeros, compression="lz4"), 415),
        "compressed dictionary": (
            stream(pa.table({"colour": shared}), compression="zstd"),
            415,
        ),
        "shared text": (stream(pa.table({"colour": shared})), 413),
        "shared views": (stream(pa.table({"colour": views})), 413),
        "many rows without bytes": (stream(pa.table({"size": pa.nulls(2**31 - 1)})), 413),
        "nested": (stream(pa.table({"size": nested})), 422),
        "lying offsets": (bytes(lying), 400),
        "many batches": (stream(batches), 413),
        "empty": (b"", 400),
        "no Arrow": (b"x" * 1000, 400),
        "only magic": (b"ARROW1\0\0", 400),
        "huge message": (b"\xff\xff\xff\xff\xff\xff\xff\x7f", 400),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_streams_cost_little_memory(parser: ArrowParser, name: str) -> None:
    body, status = hostile()[name]
    before = pa.default_memory_pool().bytes_allocated()
    tracemalloc.start()
    with pytest.raises(RequestError) as raised:
        parser.parse(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raised.value.status == status
    assert peak < 2**22 + 2 * len(body)
    # What is left is held by nobody, so it is at most what the error itself refers to.
    assert pa.default_memory_pool().bytes_allocated() - before < 2**22 + 2 * len(body)


SOUND = stream(TABLE)


@given(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=8), st.integers(0, 9))
@settings(max_examples=400)
def test_a_changed_stream_is_read_or_refused(
    parser: ArrowParser, at: int, change: bytes, cut: int
) -> None:
    body = SOUND[:at] + change + SOUND[at + len(change) : len(SOUND) - cut]
    with suppress(RequestError):
        parser.parse(body).validate(full=True)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(parser: ArrowParser, body: bytes) -> None:
    with suppress(RequestError):
        parser.parse(body)
