"""The key of a request is the same in whichever form the request comes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.http.body import BodyRoom
from rayml.serve.http.messages import Request
from rayml.serve.model.tensor_model import LOOP_BYTES
from rayml.serve.release.sticky_column import StickyColumn
from rayml.serve.tensors.arrow import FILE, STREAM
from rayml.serve.tensors.tensors import tensor_from_values
from rayml.types import Kind, TargetInfo

KINDS: dict[str, tuple[Kind, str]] = {
    "size": ("numeric", "FP64"),
    "colour": ("categorical", "BYTES"),
    "new": ("boolean", "BOOL"),
    "seen": ("timestamp", "BYTES"),
}


def signature(kinds: dict[str, Kind]) -> Signature:
    columns = tuple(InputColumn(name=name, kind=kind) for name, kind in kinds.items())
    target = TargetInfo(name="label", task="binary", classes=("low", "high"))
    return Signature(inputs=columns, target=target)


SIGNATURE = signature({name: kind for name, (kind, _) in KINDS.items()})
NUMBERS = signature({"a": "numeric", "b": "numeric", "c": "numeric"})


def value_of(
    name: str,
    body: bytes,
    *,
    signature: Signature = SIGNATURE,
    headers: dict[bytes, bytes] | None = None,
    model: str | None = None,
    attached: Any = None,
) -> bytes | None:
    """The key of one request."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": list((headers or {}).items()),
        "rayml.attached": attached,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def main() -> bytes | None:
        request = Request(scope, receive, max_body_bytes=10**8, room=BodyRoom(10**9))
        request.parameters = {"name": model} if model else {}
        found = await StickyColumn(name, signature).value(request)
        # Whoever answers has the body still.
        if any(column.name == name for column in signature.inputs):
            assert await request.body() == body
        return found

    return asyncio.run(main())


def rows(name: str, value: object) -> bytes | None:
    row = {name: value}
    alone = value_of(name, json.dumps(row).encode())
    for several in ([row, {name: None}], {"rows": [row, row]}):
        assert value_of(name, json.dumps(several).encode()) == alone
    return alone


def arrow(name: str, value: object, kind: bytes) -> bytes | None:
    table = pa.table({"x": [1, 2], name: pa.array([value, None])})
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_stream if kind == STREAM else pa.ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_table(table.slice(0, 0))  # which has no first row
        writer.write_table(table)
    return value_of(name, sink.getvalue().to_pybytes(), headers={b"content-type": kind})


def tensors(name: str, value: object, datatype: str, *, binary: bool) -> bytes | None:
    wide = tensor_from_values("x", "INT16", [2], [7, 8]).to_bytes()
    raw = tensor_from_values(name, datatype, [2], [value, value]).to_bytes()
    first = {"name": "x", "datatype": "INT16", "shape": [2]}
    own = {"name": name, "datatype": datatype, "shape": [2, 1]}
    if not binary:
        inputs = [{**first, "data": [7, 8]}, {**own, "data": [[value], [value]]}]
        return value_of(name, json.dumps({"inputs": inputs}).encode(), model="boxes")
    inputs = [
        {**first, "parameters": {"binary_data_size": len(wide)}},
        {**own, "parameters": {"binary_data_size": len(raw)}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    return value_of(name, head + wide + raw, headers=headers, model="boxes")


def message(name: str, value: object, datatype: str) -> bytes | None:
    call = ModelInferRequest(model_name="boxes")
    call.inputs.add(name=name, datatype=datatype, shape=[1])
    call.raw_input_contents.append(tensor_from_values(name, datatype, [1], [value]).to_bytes())
    return value_of(name, call.SerializeToString(), attached=call)


times = st.datetimes(
    min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)
)
VALUES = st.one_of(
    st.tuples(st.just("size"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("size"), st.integers(-(2**53), 2**53)),
    st.tuples(st.just("colour"), st.text(min_size=1, max_size=9).filter(str.isprintable)),
    st.tuples(st.just("new"), st.booleans()),
    st.tuples(st.just("seen"), times),
)


@given(VALUES)
def test_one_value_is_one_key_in_every_form(drawn: tuple[str, Any]) -> None:
    name, value = drawn
    text = value.isoformat() if isinstance(value, datetime) else value
    datatype = KINDS[name][1]
    keys = {
        rows(name, text),
        arrow(name, value, STREAM),
        arrow(name, value, FILE),
        tensors(name, text, datatype, binary=False),
        tensors(name, text, datatype, binary=True),
        message(name, text, datatype),
    }
    assert len(keys) == 1, keys
    assert None not in keys


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("size", 3, b"3.0"),
        ("size", -0.0, b"0.0"),
        ("colour", 3, b"3"),
        ("colour", "red", b"red"),
        ("new", True, b"true"),
        ("seen", "2024-05-17T10:30:00+02:00", b"2024-05-17T08:30:00+00:00"),
    ],
)
def test_a_key_is_the_value_that_the_model_sees(name: str, value: object, key: bytes) -> None:
    assert rows(name, value) == key


def test_a_category_that_is_a_code_may_come_as_a_number() -> None:
    assert tensors("colour", 3, "INT8", binary=True) == rows("colour", "3") == b"3"


@pytest.mark.parametrize("flat", [True, False])
def test_a_matrix_has_the_columns_in_their_order(flat: bool) -> None:
    values = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    data = values if flat else np.array(values).reshape(2, 3).tolist()
    matrix = {"name": "matrix", "datatype": "FP64", "shape": [2, 3], "data": data}
    body = json.dumps({"inputs": [matrix]}).encode()
    for name, key in (("a", b"1.5"), ("b", b"2.5"), ("c", b"3.5")):
        assert value_of(name, body, signature=NUMBERS, model="boxes") == key


def test_a_large_request_is_read_in_a_thread() -> None:
    body = json.dumps([{"size": 1.5, "colour": "x" * 100}] * (LOOP_BYTES // 100)).encode()
    assert len(body) > LOOP_BYTES
    assert value_of("size", body) == b"1.5"


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b'{"size": null}', {}),
        (b'{"size": [1]}', {}),
        (b'{"size": "x"}', {}),
        (b'{"colour": "red"}', {}),
        (b'{"size": 1e999}', {}),
        (b'{"inputs": []}', {"model": "boxes"}),
        (b'{"inputs": [{"name": "size", "datatype": "FP64", "shape": [0], "data": []}]}',
         {"model": "boxes"}),
        (b'{"inputs": [{"name": "size", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}',
         {"model": "boxes"}),
        (b"ARROW1", {"headers": {b"content-type": STREAM}}),
        (b"", {"headers": {b"content-type": STREAM}}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_has_no_key(body: bytes, more: dict[str, Any]) -> None:
    assert value_of("size", body, **more) is None


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_as_arrow_have_a_key_or_none(junk: bytes, at: int) -> None:
    table = pa.table({"colour": ["red", "blue"] * 3})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    sound = sink.getvalue().to_pybytes()
    body = sound[:at] + junk + sound[at + len(junk) :]
    found = value_of("colour", body, headers={b"content-type": STREAM})
    assert found is None or isinstance(found, bytes)


def test_a_column_that_is_not_there_is_not_looked_for() -> None:
    assert value_of("weight", b'{"weight": 1}') is None


@pytest.mark.parametrize("name", ["colour", "seen", "size"])
def test_a_token_of_a_missing_value_is_no_key(name: str) -> None:
    with_tokens = dataclasses.replace(SIGNATURE, missing=("?", "NA"))
    body = json.dumps({name: "?"}).encode()
    assert value_of(name, body, signature=with_tokens) is None
    if name != "size":
        tensor = {"name": name, "datatype": "BYTES", "shape": [1], "data": ["NA"]}
        infer = json.dumps({"inputs": [tensor]}).encode()
        assert value_of(name, infer, signature=with_tokens, model="m") is None
    assert value_of("colour", b'{"colour": "?"}') == b"?"
