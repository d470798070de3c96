"""What is unlike training is said in the answers of every protocol, counted, or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import jsonschema
import pyarrow as pa
import pytest

from rayml.errors import RequestError
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.grpc.status import grpc_status
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.odd_values import OddValues, described
from rayml.serve.predict.predictor import Predictor
from rayml.serve.tensors.arrow import STREAM
from rayml.serve.tensors.infer_request import LENGTH_HEADER
from rayml.serve.tensors.tensors import tensor_from_values
from rayml.settings.data import SchemaSettings
from rayml.settings.serve import ServeSettings
from rayml.testing.bundles import untrained_bundle
from tests.serve.asgi import call

# Sizes from 0 to 9; `note` is missing in training too.
TABLE = pa.table(
    {
        "size": [float(n % 10) for n in range(60)],
        "job": ["cook", "clerk", "chef"] * 20,
        "note": ["a", "b", None] * 20,
        "y": ["n", "p", "p", "n"] * 15,
    }
)
USUAL = {"size": 3.5, "job": "cook", "note": None}
ODD = [
    USUAL,
    {"size": 19.0, "job": "smith", "note": "c"},
    {"job": "chef", "note": "a"},
]
WARNINGS = [{}, {"size": "range", "job": "unknown", "note": "unknown"}, {"size": "missing"}]
COUNTS = {
    ("size", "range"): 1,
    ("job", "unknown"): 1,
    ("note", "unknown"): 1,
    ("size", "missing"): 1,
}


@pytest.fixture(scope="module", params=[None, 3], ids=["alone", "ensemble"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd") / "bundle"
    return untrained_bundle(folder, TABLE, target="y", task="binary", ensemble=request.param)


@contextmanager
def serving(bundle: Path, **changes: Any) -> Iterator[tuple[EndpointApp, ServedModel]]:
    settings = ServeSettings(**changes)
    predictor = Predictor.load(bundle, warn=settings.unknown != "ignore")
    model = ServedModel(predictor, version="1", settings=settings)
    yield EndpointApp(OneVersion(model), settings=settings), model
    model.close()


def as_arrow(rows: list[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(rows, schema=TABLE.select(["size", "job", "note"]).schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def as_tensors(rows: list[dict[str, Any]], *outputs: str) -> dict[str, Any]:
    tensors = {
        name: (datatype, [row.get(name) for row in rows])
        for name, datatype in (("size", "FP64"), ("job", "BYTES"), ("note", "BYTES"))
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": [len(rows)], "data": data}
        for name, (datatype, data) in tensors.items()
    ]
    return {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}


def infer(app: EndpointApp, body: dict[str, Any]) -> httpx.Response:
    return call(app, "POST", "/v2/models/model/infer", json=body)


def infer_binary(app: EndpointApp, rows: list[dict[str, Any]], *outputs: str) -> httpx.Response:
    """Tensors whose bytes follow the JSON, in request and answer."""
    content = as_tensors(rows, *outputs)
    raws = []
    for each in content["inputs"]:
        data = each.pop("data")
        raw = tensor_from_values(each["name"], each["datatype"], each["shape"], data).to_bytes()
        each["parameters"] = {"binary_data_size": len(raw)}
        raws.append(raw)
    head = json.dumps(content).encode()
    headers = {LENGTH_HEADER.decode(): str(len(head))}
    path = "/v2/models/model/infer"
    return call(app, "POST", path, content=head + b"".join(raws), headers=headers)


def infer_grpc(app: EndpointApp, rows: list[dict[str, Any]], *outputs: str) -> httpx.Response:
    message = ModelInferRequest(model_name="model")
    for each in as_tensors(rows)["inputs"]:
        tensor = message.inputs.add(name=each["name"], datatype=each["datatype"], shape=[len(rows)])
        if each["datatype"] == "FP64":
            values = [float("nan") if value is None else value for value in each["data"]]
            tensor.contents.fp64_contents.extend(values)
        else:
            tensor.contents.bytes_contents.extend((v or "").encode() for v in each["data"])
    for name in outputs:
        message.outputs.add(name=name)
    path = "/inference.GRPCInferenceService/ModelInfer"
    return call(app, "POST", path, content=message.SerializeToString())


def counts(model: ServedModel) -> dict[tuple[str, str], int]:
    return {(column, kind): count for column, kind, count in model.odd_values.counts()}


def warned(answers: list[dict[str, Any]]) -> list[dict[str, str]]:
    assert all(answer.get("warnings") != {} for answer in answers)
    return [answer.get("warnings", {}) for answer in answers]


def test_json_answers_say_it(bundle: Path) -> None:
    with serving(bundle) as (app, model):
        answers = call(app, "POST", "/predict", json=ODD).json()
        assert warned(answers["predictions"]) == WARNINGS
        assert counts(model) == COUNTS
        document = call(app, "GET", "/openapi.json").json()
        schema = {"$ref": "#/components/schemas/Predictions", "components": document["components"]}
        jsonschema.validate(answers, schema)
        wrong = {"predictions": [answers["predictions"][0] | {"warnings": {"job": "strange"}}]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
        many = call(app, "POST", "/predict", json=ODD * 50).json()["predictions"]
        assert warned(many) == WARNINGS * 50
        usual = call(app, "POST", "/predict", json=[USUAL] * 100)
        assert b"warnings" not in usual.content


def test_requests_that_share_a_batch_are_told_their_own(bundle: Path) -> None:
    with serving(bundle, batch_wait_s=0.2) as (app, model):

        async def ask() -> list[list[dict[str, str]]]:
            transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                asked = [[USUAL], ODD, ODD[2:], [USUAL], ODD[1:2]]
                answers = await asyncio.gather(*(client.post("/predict", json=r) for r in asked))
            return [warned(answer.json()["predictions"]) for answer in answers]

        assert asyncio.run(ask()) == [[{}], WARNINGS, WARNINGS[2:], [{}], WARNINGS[1:2]]
        assert sum(counts(model).values()) == 2 * sum(COUNTS.values())


def test_arrow_answers_have_a_column_of_it(bundle: Path) -> None:
    headers = {"content-type": STREAM.decode(), "accept": STREAM.decode()}
    with serving(bundle) as (app, model):
        tables = [
            pa.ipc.open_stream(
                call(app, "POST", "/predict", content=as_arrow(rows), headers=headers).content
            ).read_all()
            for rows in (ODD, [USUAL])
        ]
        assert tables[0].schema == tables[1].schema
        told = tables[0]["warnings"].to_pylist()
        assert [dict(each or ()) for each in told] == WARNINGS
        assert told[0] is None
        assert tables[1]["warnings"].null_count == 1
        assert counts(model) == COUNTS
        plain = {"content-type": STREAM.decode()}
        answers = call(app, "POST", "/predict", content=as_arrow(ODD), headers=plain).json()
        assert warned(answers["predictions"]) == WARNINGS


def test_an_output_tensor_has_it_where_it_is_asked_for(bundle: Path) -> None:
    with serving(bundle) as (app, model):
        every = infer(app, as_tensors(ODD)).json()["outputs"]
        assert "warnings" not in [each["name"] for each in every]
        metadata = call(app, "GET", "/v2/models/model").json()
        assert [each["name"] for each in metadata["outputs"]] == [each["name"] for each in every]
        assert "'warnings'" in metadata["properties"]["warnings"]
        assert counts(model) == COUNTS
        outputs = infer(app, as_tensors(ODD, "warnings", "label")).json()["outputs"]
        assert [each["name"] for each in outputs] == ["warnings", "label"]
        assert (outputs[0]["datatype"], outputs[0]["shape"]) == ("BYTES", [3])
        assert [json.loads(text) for text in outputs[0]["data"]] == WARNINGS
        binary = infer_binary(app, ODD, "warnings").json()["outputs"]
        assert [json.loads(text) for text in binary[0]["data"]] == WARNINGS
        document = call(app, "GET", "/openapi.json").json()
        schema = {
            "$ref": "#/components/schemas/InferResponse",
            "components": document["components"],
        }
        jsonschema.validate(infer(app, as_tensors(ODD, "warnings")).json(), schema)
        # A large request takes another way, in a thread.
        large = infer(app, as_tensors(ODD * 300, "warnings")).json()["outputs"]
        assert [json.loads(text) for text in large[0]["data"]] == WARNINGS * 300


def test_it_comes_over_grpc_too(bundle: Path) -> None:
    from rayml.serve.app.routes import ROUTES, Route, Router
    from rayml.serve.grpc.infer import INFER_PATH, grpc_infer

    with serving(bundle) as (_, model):
        router = Router((*ROUTES, Route("POST", INFER_PATH, grpc_infer, predicts=True)))
        settings = ServeSettings()
        app = EndpointApp(OneVersion(model), settings=settings, router=router)
        answer = infer_grpc(app, ODD, "warnings")
        assert answer.status_code == 200, answer.text
        output = ModelInferResponse.FromString(answer.content).outputs[0]
        told = output.contents.bytes_contents
        assert [json.loads(text) for text in told] == WARNINGS
    with serving(bundle, unknown="refuse") as (_, model):
        app = EndpointApp(OneVersion(model), settings=settings, router=router)
        answer = infer_grpc(app, ODD)
        assert answer.status_code == 422
        assert grpc_status(422) is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.json()["row"] == 1


def test_explanations_say_it(bundle: Path) -> None:
    with serving(bundle) as (app, model):
        answers = call(app, "POST", "/explain", json=ODD).json()
        assert warned(answers["explanations"]) == WARNINGS
        assert counts(model) == COUNTS
        document = call(app, "GET", "/openapi.json").json()
        schema = {"$ref": "#/components/schemas/Explanations", "components": document["components"]}
        jsonschema.validate(answers, schema)


def test_refusals_name_row_and_column(bundle: Path) -> None:
    arrow = {"content-type": STREAM.decode()}
    with serving(bundle, unknown="refuse") as (app, model):
        for answer in (
            call(app, "POST", "/predict", json=ODD),
            call(app, "POST", "/predict", content=as_arrow(ODD), headers=arrow),
            call(app, "POST", "/explain", json=ODD),
            infer(app, as_tensors(ODD)),
            infer(app, as_tensors(ODD * 300)),
            infer_binary(app, ODD),
        ):
            assert answer.status_code == 422, answer.text
            assert (answer.json()["row"], answer.json()["column"]) == (1, "size")
            assert "far outside of the training range, 0 to 9" in answer.json()["error"]
        assert counts(model)["job", "unknown"] >= 6
        assert call(app, "POST", "/predict", json=USUAL).status_code == 200
        assert infer(app, as_tensors([USUAL])).status_code == 200
        body = as_arrow([USUAL])
        assert call(app, "POST", "/predict", content=body, headers=arrow).status_code == 200


def test_who_ignores_it_says_nothing(bundle: Path) -> None:
    with serving(bundle, unknown="ignore") as (app, model):
        answers = call(app, "POST", "/predict", json=ODD).json()["predictions"]
        assert warned(answers) == [{}] * 3
        headers = {"content-type": STREAM.decode(), "accept": STREAM.decode()}
        content = call(app, "POST", "/predict", content=as_arrow(ODD), headers=headers).content
        assert "warnings" not in pa.ipc.open_stream(content).schema.names
        assert infer(app, as_tensors(ODD, "warnings")).status_code == 400
        assert "warnings" not in call(app, "GET", "/v2/models/model").json()["properties"]
        assert counts(model) == {}
    # What is answered is the same in any case.
    with serving(bundle) as (app, _):
        told = call(app, "POST", "/predict", json=ODD).json()["predictions"]
        for answer in told:
            answer.pop("warnings", None)
        assert told == answers


def test_each_kind_is_described(bundle: Path) -> None:
    columns = {column.name: column for column in Predictor.load(bundle).signature.inputs}
    assert described("unknown", columns["job"]) == "the model does not know this category"
    assert "0 to 9" in described("range", columns["size"])
    refusing = OddValues(Predictor.load(bundle).signature, refuse=True)
    refusing.note({})
    with pytest.raises(RequestError, match="row 4, column 'size': the value is missing"):
        refusing.note({4: {"size": "missing"}})


def test_no_range_of_a_private_column_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    schema = SchemaSettings(private=("size", "job"))
    untrained_bundle(folder, TABLE, target="y", task="binary", schema=schema)
    with serving(folder) as (app, _):
        answers = call(app, "POST", "/predict", json=ODD).json()["predictions"]
        assert warned(answers) == [{}, {"job": "unknown", "note": "unknown"}, {"size": "missing"}]
