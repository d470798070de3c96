"""A text that meant "missing" in the source of the training rows means it in every way in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayml.data.columns.kinds import ARROW_TYPES
from rayml.registry.bundle.bundle import load_bundle
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc.codec import input_tensors
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.serve.tensors.arrow import ArrowParser
from rayml.serve.tensors.input_tensors import InputTensors
from rayml.serve.tensors.tensor_features import TensorFeatures
from rayml.serve.tensors.tensors import Tensor, tensor_from_bytes, tensor_from_values
from rayml.settings.serve import ServeSettings
from rayml.stages.rows.row_file import RowFile
from rayml.testing.bundles import untrained_bundle
from rayml.types import Features
from tests.serve.asgi import call

START = datetime(2024, 1, 1, tzinfo=UTC)
TOKENS = ("?", "NA", "null", "")
NAMES = ("size", "colour", "shape", "new", "seen")


def training() -> pa.Table:
    """`shape` is the one that no row misses; its category `NA` is no token there."""
    rng = np.random.default_rng(0)
    gaps = np.arange(60) % 7 == 0
    seen = [START + timedelta(hours=n) for n in range(60)]
    return pa.table(
        {
            "size": pa.array(rng.normal(size=60), mask=gaps),
            "colour": pa.array(rng.choice(["red", "blue"], 60), mask=gaps),
            "shape": rng.choice(["round", "flat", "NA"], 60),
            "new": pa.array(rng.random(60) < 0.5, mask=gaps),
            "seen": pa.array(seen, ARROW_TYPES["timestamp"], mask=gaps),
            "y": rng.choice(["n", "p"], 60),
        }
    )


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("parcels") / "bundle"
    untrained_bundle(folder, training(), target="y", task="binary", missing=TOKENS)
    return Predictor.load(folder)


def rows_of(token: str | None) -> list[dict[str, Any]]:
    return [
        dict.fromkeys(NAMES, token),
        {"size": 0.5, "colour": "red", "shape": "flat", "new": True, "seen": "2024-01-02"},
    ]


def from_json(predictor: Predictor, token: str | None) -> Features:
    parser = RequestParser(predictor.signature, max_rows=10)
    rows = parser.parse(json.dumps(rows_of(token)).encode())
    return predictor.row_features(rows)


def from_arrow(predictor: Predictor, token: str | None) -> Features:
    # A numeric or boolean column takes no texts.
    typed = {"size": [None, 0.5], "new": [None, True]}
    table = pa.table({name: pa.array(values) for name, values in (typed | texts(token)).items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    parser = ArrowParser(predictor.signature, max_rows=10, max_bytes=10**6)
    return predictor.features(parser.parse(sink.getvalue().to_pybytes()))


def texts(token: str | None) -> dict[str, list[str | None]]:
    """The columns that are strings in a tensor too."""
    return {name: [row[name] for row in rows_of(token)] for name in ("colour", "shape", "seen")}


def features_of(predictor: Predictor, tensors: list[Tensor]) -> Features:
    size = tensor_from_values("size", "FP64", [2], [None, 0.5])
    new = tensor_from_values("new", "FP64", [2], [None, 1.0])
    inputs = InputTensors(predictor.signature, max_rows=10)
    make = TensorFeatures(inputs, predictor.signature, predictor.preprocessor)
    straight = make([size, *tensors, new])
    same(straight, predictor.features(inputs.table([size, *tensors, new])))
    return straight


def from_values(predictor: Predictor, token: str | None) -> Features:
    columns = texts(token).items()
    return features_of(predictor, [tensor_from_values(n, "BYTES", [2], v) for n, v in columns])


def from_bytes(predictor: Predictor, token: str | None) -> Features:
    columns = texts(token).items()
    written = [(n, tensor_from_values(n, "BYTES", [2], v).to_bytes()) for n, v in columns]
    return features_of(predictor, [tensor_from_bytes(n, "BYTES", [2], raw) for n, raw in written])


def from_grpc(predictor: Predictor, token: str | None) -> Features:
    request = ModelInferRequest()
    for name, values in texts(token).items():
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[2])
        tensor.contents.bytes_contents.extend((value or "").encode() for value in values)
    return features_of(predictor, input_tensors(request))


def same(one: Features, other: Features) -> None:
    assert one.numeric.tobytes() == other.numeric.tobytes()
    assert one.categorical.tobytes() == other.categorical.tobytes()


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("way", [from_json, from_arrow, from_values, from_bytes, from_grpc])
def test_a_token_is_missing_by_every_way(parcels: Predictor, way: Any, token: str) -> None:
    found, wanted = way(parcels, token), way(parcels, None)
    own = parcels.preprocessor.categorical[1].code("NA")
    assert own > 0
    if token == "NA":
        assert found.categorical[0, 1] == own
        found.categorical[0, 1] = wanted.categorical[0, 1]
    same(found, wanted)
    same(wanted, from_json(parcels, None))
    assert found.categorical[0].tolist() == [1, 0]


def test_training_rows_and_requests_have_the_same_bits(parcels: Predictor) -> None:
    typed = training().select(list(NAMES))
    trained = load_bundle(parcels.bundle.folder).preprocessor().transform_batch(typed)
    rows = [
        {name: "?" if value is None else value for name, value in row.items()}
        for row in typed.to_pylist()
    ]
    body = json.dumps(rows, default=lambda time: time.isoformat()).encode()
    parsed = RequestParser(parcels.signature, max_rows=100).parse(body)
    same(parcels.row_features(parsed), trained)
    same(parcels.features(parcels.table(parsed)), trained)
    for row in range(60):
        alone = parcels.row_features(parsed[row : row + 1])
        assert alone.numeric.tobytes() == trained.numeric[row].tobytes()


def test_what_is_no_token_is_refused_as_ever(parcels: Predictor) -> None:
    served = ServedModel(parcels, version="1", settings=ServeSettings())
    app = EndpointApp(OneVersion(served), settings=ServeSettings())
    good = b'{"size": "?", "new": "NA", "seen": "", "colour": "null"}'
    assert call(app, "POST", "/predict", content=good).status_code == 200
    assert call(app, "POST", "/explain", content=good).status_code == 200
    for body in (b'{"size": "x"}', b'{"size": "1"}', b'{"new": "yes"}', b'{"seen": "soon"}'):
        answer: httpx.Response = call(app, "POST", "/predict", content=body)
        assert answer.status_code == 422
        assert answer.json()["row"] == 0
        assert answer.json()["column"] in NAMES


def test_a_bundle_without_tokens_takes_them_as_it_did(tmp_path: Path) -> None:
    untrained_bundle(tmp_path / "bundle", training(), target="y", task="binary")
    path = tmp_path / "bundle" / "signature.json"
    assert json.loads(path.read_text())["missing"] == []
    older = Predictor.load(tmp_path / "bundle")
    rows = [{"colour": "?", "shape": ""}, {"colour": None}]
    assert older.row_features(rows).categorical.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.parquet", "rows.arrow"])
def test_files_are_read_alike(parcels: Predictor, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    typed = {"size": [None, 0.5], "new": [None, True]}
    table = pa.table({n: pa.array(values) for n, values in (typed | texts("?")).items()})
    match path.suffix:
        case ".csv":
            path.write_text("size,colour,shape,new,seen\n?,?,?,?,?\n0.5,red,flat,true,2024-01-02\n")
        case ".json":
            path.write_text(json.dumps(rows_of("?")))
        case ".parquet":
            pq.write_table(table, path)
        case ".arrow":
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
    (read,) = RowFile(parcels, path, print).tables()
    same(parcels.features(read), from_json(parcels, None))
