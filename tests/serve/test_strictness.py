"""A value is taken or refused alike, whichever protocol or file it comes by."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.errors import DataError, RequestError
from rayml.registry.bundle.signature import Signature
from rayml.serve.grpc.codec import FIELDS, input_tensors
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.serve.tensors.arrow import ArrowParser
from rayml.serve.tensors.infer_request import read_request
from rayml.serve.tensors.input_tensors import InputTensors
from rayml.serve.tensors.tensor_features import TensorFeatures
from rayml.serve.tensors.tensors import Tensor, tensor_from_values
from rayml.stages.rows.row_file import RowFile
from rayml.types import Kind

COLUMNS: dict[Kind, str] = {
    "numeric": "size", "categorical": "colour", "boolean": "new", "timestamp": "seen"
}  # fmt: skip
REFUSED = "refused"
MORNING = datetime(2024, 5, 17, 8, 30, tzinfo=UTC)
INF, NAN = math.inf, math.nan

# What each kind of column makes of a value.
CASES: list[tuple[Kind, Any, Any]] = [
    ("numeric", 1.5, 1.5),
    ("numeric", 3, 3.0),
    ("numeric", 2**53 + 1, 2.0**53),
    ("numeric", -(2**60) - 1, -(2.0**60)),
    ("numeric", 1e308, 1e308),
    ("numeric", None, None),
    ("numeric", NAN, None),
    ("numeric", INF, REFUSED),
    ("numeric", -INF, REFUSED),
    ("numeric", True, REFUSED),
    ("numeric", "1", REFUSED),
    ("numeric", "", REFUSED),
    ("categorical", "red", "red"),
    ("categorical", " red", " red"),
    ("categorical", "1.0", "1.0"),
    ("categorical", 7, "7"),
    ("categorical", -(2**60) - 1, str(-(2**60) - 1)),
    ("categorical", 7.0, "7"),
    ("categorical", -0.0, "0"),
    ("categorical", None, None),
    ("categorical", NAN, None),
    ("categorical", 7.5, REFUSED),
    ("categorical", 2.0**53, REFUSED),
    ("categorical", INF, REFUSED),
    ("categorical", True, REFUSED),
    ("boolean", True, True),
    ("boolean", 0, False),
    ("boolean", 1.0, True),
    ("boolean", None, None),
    ("boolean", NAN, None),
    ("boolean", 2, REFUSED),
    ("boolean", 0.5, REFUSED),
    ("boolean", INF, REFUSED),
    ("boolean", "true", REFUSED),
    ("boolean", "1", REFUSED),
    ("timestamp", "2024-05-17T08:30:00", MORNING),
    ("timestamp", "2024-05-17 10:30:00+02:00", MORNING),
    ("timestamp", "2024-05-17T08:30:00.0000009Z", MORNING),
    ("timestamp", "2024-05-17", MORNING.replace(hour=0, minute=0)),
    ("timestamp", None, None),
    ("timestamp", "yesterday", REFUSED),
    ("timestamp", "0001-01-01T00:00:00+14:00", REFUSED),
    ("timestamp", 1715934600, REFUSED),
    ("timestamp", 1715934600.0, REFUSED),
    ("timestamp", True, REFUSED),
]

# What a protocol forces, and why.
FORCED: dict[tuple[str, Kind, str], Any] = {
    # Rows of JSON have no NaN.
    **{
        (protocol, kind, "nan"): REFUSED
        for protocol in ("rows", "file.json")
        for kind in ("numeric", "categorical", "boolean")
    },
    # CSV has texts alone, read as those of training.
    ("file.csv", "numeric", "'1'"): 1.0,
    ("file.csv", "numeric", "''"): None,
    ("file.csv", "categorical", "7.0"): "7.0",
    ("file.csv", "categorical", "-0.0"): "-0.0",
    ("file.csv", "categorical", "7.5"): "7.5",
    ("file.csv", "categorical", "9007199254740992.0"): "9007199254740992.0",
    ("file.csv", "categorical", "inf"): "inf",
    ("file.csv", "categorical", "True"): "True",
    ("file.csv", "boolean", "1.0"): REFUSED,
    ("file.csv", "boolean", "'true'"): True,
    ("file.csv", "boolean", "'1'"): True,
}


@pytest.fixture(scope="module")
def boxes(binary_bundle: Path) -> Predictor:
    return Predictor.load(binary_bundle)


# ---------------------------------------------------------------- the protocols


def rows(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    body = json.dumps({COLUMNS[kind]: value}).encode()
    return boxes.table(RequestParser(boxes.signature, max_rows=1).parse(body))


def array(kind: Kind, value: Any) -> pa.Array:
    missing = {"numeric": pa.float64(), "boolean": pa.bool_()}.get(kind, pa.string())
    return pa.nulls(1, missing) if value is None else pa.array([value], from_pandas=False)


def arrow(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    table = pa.table({COLUMNS[kind]: array(kind, value)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return ArrowParser(boxes.signature, max_rows=1, max_bytes=1000).parse(sink.getvalue())


def datatype(kind: Kind, value: Any) -> str:
    if value is None:
        return "FP64" if kind in ("numeric", "boolean") else "BYTES"
    return {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}[type(value)]


def tensor(kind: Kind, value: Any) -> Tensor:
    return tensor_from_values(COLUMNS[kind], datatype(kind, value), [1], [value])


def from_tensors(boxes: Predictor, tensors: Sequence[Tensor]) -> pa.Table:
    """The table of some tensors, whose features are those that are served."""
    inputs = InputTensors(boxes.signature, max_rows=1)
    try:
        table = inputs.table(tensors)
    except RequestError:
        with pytest.raises(RequestError):
            TensorFeatures(inputs, boxes.signature, boxes.preprocessor)(tensors)
        raise
    served = TensorFeatures(inputs, boxes.signature, boxes.preprocessor)(tensors)
    wanted = boxes.features(table)
    assert served.numeric.tobytes() == wanted.numeric.tobytes()
    assert served.categorical.tolist() == wanted.categorical.tolist()
    return table


def v2_json(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    given = {
        "name": COLUMNS[kind], "datatype": datatype(kind, value), "shape": [1], "data": [value]
    }  # fmt: skip
    request = read_request(json.dumps({"inputs": [given]}).encode(), {})
    return from_tensors(boxes, request.inputs)


def v2_binary(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    raw = tensor(kind, value).to_bytes()
    given = {
        "name": COLUMNS[kind],
        "datatype": datatype(kind, value),
        "shape": [1],
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [given]}).encode()
    headers = {b"inference-header-content-length": str(len(head)).encode()}
    return from_tensors(boxes, read_request(head + raw, headers).inputs)


def grpc(boxes: Predictor, kind: Kind, value: Any, *, raw: bool) -> pa.Table:
    request = ModelInferRequest(model_name="boxes")
    named = datatype(kind, value)
    given = request.inputs.add(name=COLUMNS[kind], datatype=named, shape=[1])
    if raw:
        request.raw_input_contents.append(tensor(kind, value).to_bytes())
    else:
        if value is None:
            value = NAN if named == "FP64" else ""
        value = value.encode() if isinstance(value, str) else value
        getattr(given.contents, FIELDS[named]).append(value)
    message = ModelInferRequest.FromString(request.SerializeToString())
    return from_tensors(boxes, input_tensors(message))


def grpc_typed(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    return grpc(boxes, kind, value, raw=False)


def grpc_raw(boxes: Predictor, kind: Kind, value: Any, _folder: Path) -> pa.Table:
    return grpc(boxes, kind, value, raw=True)


def of_file(boxes: Predictor, path: Path) -> pa.Table:
    return pa.concat_tables(RowFile(boxes, path, print).tables())


def csv_file(boxes: Predictor, kind: Kind, value: Any, folder: Path) -> pa.Table:
    text = "" if value is None else str(value)
    # A further column, since a line without text is no row.
    (folder / "f.csv").write_text(f"{COLUMNS[kind]},count of parts\n{text},1\n")
    return of_file(boxes, folder / "f.csv")


def parquet_file(boxes: Predictor, kind: Kind, value: Any, folder: Path) -> pa.Table:
    pq.write_table(pa.table({COLUMNS[kind]: array(kind, value)}), folder / "f.parquet")
    return of_file(boxes, folder / "f.parquet")


def json_file(boxes: Predictor, kind: Kind, value: Any, folder: Path) -> pa.Table:
    (folder / "f.json").write_text(json.dumps([{COLUMNS[kind]: value}]))
    return of_file(boxes, folder / "f.json")


PROTOCOLS: dict[str, Callable[[Predictor, Kind, Any, Path], pa.Table]] = {
    "rows": rows,
    "arrow": arrow,
    "v2 json": v2_json,
    "v2 binary": v2_binary,
    "grpc typed": grpc_typed,
    "grpc raw": grpc_raw,
    "file.csv": csv_file,
    "file.parquet": parquet_file,
    "file.json": json_file,
}


# ---------------------------------------------------------------- the test


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_are_taken_or_refused_alike(boxes: Predictor, protocol: str, tmp_path: Path) -> None:
    wanted, found = {}, {}
    for kind, value, expected in CASES:
        case = (kind, repr(value))
        wanted[case] = FORCED.get((protocol, *case), expected)
        try:
            table = PROTOCOLS[protocol](boxes, kind, value, tmp_path)
            (found[case],) = table.column(COLUMNS[kind]).to_pylist()
        except (RequestError, DataError):
            found[case] = REFUSED
    assert shown(found) == shown(wanted)


def shown(values: dict[tuple[Kind, str], Any]) -> dict[tuple[Kind, str], str]:
    """Values that are equal only where their types are; NaN is a missing number."""
    same = {
        case: each.astimezone(UTC) if isinstance(each, datetime) else each
        for case, each in values.items()
    }
    return {case: "None" if each != each else repr(each) for case, each in same.items()}


def same_name_twice(signature: Signature) -> list[Callable[[], object]]:
    """A column that stands twice in one request, by every protocol that can say so."""
    inputs = InputTensors(signature, max_rows=1)
    twice = [tensor("numeric", 1.5)] * 2
    columns = pa.table([pa.array([1.5])] * 2, names=["size", "size"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_table(columns)
    body = json.dumps(
        {"inputs": [{"name": "size", "datatype": "FP64", "shape": [1], "data": [1.5]}]}
    )
    key = body.replace('"data": [1.5]', '"data": [2.5], "data": [1.5]')
    spaced = body.replace('"name":', '"name" : "colour", "name" :')
    deep = body.replace('"data"', '"parameters": {"a": 1, "a": 2}, "data"')
    whole = body[:-1] + ', "inputs": []}'
    return [
        lambda: RequestParser(signature, max_rows=1).parse(b'{"size": 1, "size": 1}'),
        lambda: ArrowParser(signature, max_rows=1, max_bytes=100).parse(sink.getvalue()),
        lambda: inputs.table(twice),
        *(lambda text=text: read_request(text.encode(), {}) for text in (key, spaced, deep, whole)),
    ]


def test_a_name_stands_once_in_every_protocol(boxes: Predictor) -> None:
    for ask in same_name_twice(boxes.signature):
        with pytest.raises(RequestError):
            ask()


def test_a_colon_in_a_value_is_no_name_twice(boxes: Predictor) -> None:
    given = {"name": "seen", "datatype": "BYTES", "shape": [1], "data": ["2024-05-17T08:30:00"]}
    for data in ("2024-05-17T08:30:00", '": ":', "::"):
        given["data"] = [data]
        body = {"inputs": [given | {"parameters": {"a": {"b": 1}}}], "extension": {"c": 2}}
        (read,) = read_request(json.dumps(body).encode(), {}).inputs
        assert read.to_list() == [data]
