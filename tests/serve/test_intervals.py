"""Regions at the endpoint: in JSON, Arrow, tensors and messages, and where they are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.openapi.models import OpenAPI

from rayml.errors import BundleError, RequestError
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.intervals import GroupScores, Intervals
from rayml.registry.bundle.manifest import write_manifest
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc.codec import asked_level
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ServeSettings
from rayml.stages.predict import predict_file
from rayml.tasks.conformal import draws, limit, set_scores
from rayml.tasks.regions import MeasuredLevel
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName
from tests.serve.asgi import call
from tests.serve.conftest import TARGETS

ROW: dict[str, Any] = {"size": 1.5, "colour": "red", "new": True}
ROWS = [ROW, {"size": -2.0, "colour": "blue"}, {"colour": "green", "new": False}]
STREAM = "application/vnd.apache.arrow.stream"
MEASURED = (MeasuredLevel(level=0.9, coverage=0.91, size=1.5, rows=100),)
SCORES = tuple((np.arange(1, 20) / 20).tolist())
GROUPED = Intervals(
    scores=SCORES,
    group="colour",
    groups=(GroupScores(value="red", scores=(0.05, 0.1, 0.15, 0.2)),),
    pooled=("blue",),
    measured=MEASURED,
)


def bundle_of(
    folder: Path, table: pa.Table, task: TaskName, intervals: Intervals | None, **options: Any
) -> Path:
    inputs = table.select([*table.column_names[:5], TARGETS[task]])
    return untrained_bundle(
        folder, inputs, target=TARGETS[task], task=task, intervals=intervals, **options
    )


def app_of(folder: Path, **settings: Any) -> EndpointApp:
    chosen = ServeSettings(**settings)
    model = ServedModel(Predictor.load(folder), version="1", settings=chosen)
    return EndpointApp(OneVersion(model), settings=chosen)


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def folder(
    request: pytest.FixtureRequest, table: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    intervals = Intervals(scores=SCORES, measured=MEASURED)
    return bundle_of(tmp_path_factory.mktemp("b") / "b", table, request.param, intervals)


def region(answer: dict[str, Any]) -> Any:
    return answer["interval"] if "value" in answer else answer["set"]


def post(app: EndpointApp, path: str, body: object) -> Any:
    return call(app, "POST", path, content=json.dumps(body).encode())


def test_answers_have_the_regions_of_their_predictions(folder: Path) -> None:
    app, predictor = app_of(folder), Predictor.load(folder)
    plain = post(app, "/predict", ROWS).json()["predictions"]
    assert not any({"interval", "set", "group"} & set(answer) for answer in plain)
    answers = post(app, "/predict?interval=0.9", ROWS).json()["predictions"]
    most = limit(np.array(SCORES), 0.9)
    assert most == 0.9
    features = predictor.row_features([dict(row) for row in ROWS])
    shares = draws(features.numeric, features.categorical)
    for at, (answer, before) in enumerate(zip(answers, plain, strict=True)):
        found = region(answer)
        if "value" in answer:
            assert found == [answer["value"] - most, answer["value"] + most]
            continue
        names, told = zip(*before["probabilities"].items(), strict=True)
        scores = set_scores(np.array([told]), shares[at : at + 1])[0]
        expected = {name for name, each in zip(names, scores, strict=True) if each <= most}
        assert set(found) == expected | {before["label"]}
    wide = [
        region(each) for each in post(app, "/predict?interval=0.95", ROWS).json()["predictions"]
    ]
    for small, large in zip(map(region, answers), wide, strict=True):
        held = small[0] >= large[0] if isinstance(small[0], float) else set(small) <= set(large)
        assert held


def test_a_row_has_the_same_region_alone_and_among_others(folder: Path) -> None:
    predictor = Predictor.load(folder, batch_invariant=True)
    together = predictor.predict_rows(ROWS, [0.8] * 3)
    alone = [predictor.predict_rows([row], [0.8])[0] for row in ROWS]
    assert list(map(region, together)) == list(map(region, alone))
    table = predictor.table(ROWS)
    assert list(map(region, predictor.predict(table, 0.8))) == list(map(region, together))


def test_requests_of_different_levels_share_a_pass(folder: Path) -> None:
    predictor = Predictor.load(folder)
    mixed = predictor.predict_levelled([(ROW, 0.5), (ROW, 0.95)])
    (half,), (most,) = (predictor.predict_rows([ROW], [each]) for each in (0.5, 0.95))
    for found, expected in zip(mixed, (half, most), strict=True):
        assert region(found) == pytest.approx(region(expected))


def test_arrow_has_a_column_of_regions(folder: Path) -> None:
    app, predictor = app_of(folder), Predictor.load(folder)
    table = predictor.table(ROWS)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"content-type": STREAM, "accept": STREAM}
    path = "/predict?interval=0.9"
    response = call(app, "POST", path, content=sink.getvalue(), headers=headers)
    found = pa.ipc.open_stream(response.content).read_all()
    name = predictor.task.region
    expected = list(map(region, predictor.predict(table, 0.9)))
    rows = found[name].to_pylist()
    if name == "interval":
        assert [[row["low"], row["high"]] for row in rows] == expected
    else:
        assert [[label for label, held in row.items() if held] for row in rows] == expected
    plain = call(app, "POST", "/predict", content=sink.getvalue(), headers=headers)
    assert name not in pa.ipc.open_stream(plain.content).read_all().column_names


def tensors(rows: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    sizes = [row.get("size") for row in rows]
    return {
        "inputs": [{"name": "size", "datatype": "FP64", "shape": [len(rows)], "data": sizes}],
        **({"parameters": parameters} if parameters else {}),
    }


def test_tensors_of_regions_are_given_to_who_asks(folder: Path) -> None:
    app, predictor = app_of(folder), Predictor.load(folder)
    name, path = predictor.task.region, "/v2/models/model/infer"
    rows = [{"size": row.get("size")} for row in ROWS]
    expected = list(map(region, predictor.predict(predictor.table(rows), 0.9)))
    for level in (0.9, "0.9"):
        outputs = post(app, path, tensors(ROWS, interval=level)).json()["outputs"]
        found = next(each for each in outputs if each["name"] == name)
        data = np.array(found["data"]).reshape(found["shape"])
        if name == "interval":
            assert found["datatype"] == "FP64"
            np.testing.assert_allclose(data, expected)
        else:
            assert found["datatype"] == "BOOL"
            classes = predictor.signature.target.classes
            assert [[c for c, h in zip(classes, row, strict=True) if h] for row in data] == expected
    plain = post(app, path, tensors(ROWS)).json()["outputs"]
    assert name not in {each["name"] for each in plain}
    only = tensors(ROWS, interval=0.9) | {"outputs": [{"name": name}]}
    assert [each["name"] for each in post(app, path, only).json()["outputs"]] == [name]
    refused = post(app, path, tensors(ROWS) | {"outputs": [{"name": name}]})
    assert refused.status_code == 400
    assert "parameter interval" in refused.json()["error"]
    described = call(app, "GET", "/v2/models/model").json()
    assert f'"{name}"' in described["properties"]["interval"]
    assert name not in {each["name"] for each in described["outputs"]}


@pytest.mark.parametrize(
    ("kind", "value"), [("double_param", 0.9), ("string_param", "0.9"), ("int64_param", 1)]
)
def test_messages_carry_the_level(folder: Path, kind: str, value: Any) -> None:
    app, predictor = app_of(folder), Predictor.load(folder)
    request = ModelInferRequest(model_name="model")
    given = request.inputs.add(name="size", datatype="FP64", shape=[2])
    given.contents.fp64_contents.extend([1.5, -2.0])
    setattr(request.parameters["interval"], kind, value)
    path = "/inference.GRPCInferenceService/ModelInfer"
    response = call(app, "POST", path, content=request.SerializeToString())
    if value == 1:
        assert response.status_code == 422
        return
    assert asked_level(request) == 0.9
    answer = ModelInferResponse.FromString(response.content)
    assert predictor.task.region in {each.name for each in answer.outputs}


@pytest.mark.parametrize("level", ["1", "0", "-1", "nan", "", "much", "1e-400", "true"])
def test_what_is_no_probability_is_refused(folder: Path, level: str) -> None:
    response = post(app_of(folder), f"/predict?interval={level}", ROW)
    assert response.status_code == 422
    assert "no number between 0 and 1" in response.json()["error"]


def test_a_level_beyond_the_rows_is_refused_in_words(folder: Path) -> None:
    app = app_of(folder)
    for path, body in (
        ("/predict?interval=0.951", ROW),
        ("/v2/models/model/infer", tensors(ROWS, interval=0.951)),
    ):
        response = post(app, path, body)
        assert response.status_code == 422
        assert "19 calibration rows are too few" in response.json()["error"]
        assert "Ask for 0.95 at most" in response.json()["error"]
    assert post(app, "/predict?interval=0.95", ROW).status_code == 200


def test_a_bundle_without_scores_says_what_to_do(table: pa.Table, tmp_path: Path) -> None:
    old = bundle_of(tmp_path / "old", table, "regression", None)
    app = app_of(old)
    response = post(app, "/predict?interval=0.9", ROW)
    assert response.status_code == 422
    assert "rayml register none" in response.json()["error"]
    assert call(app, "GET", "/metadata").json()["intervals"] is None
    document = call(app, "GET", "/openapi.json").json()
    assert document["paths"]["/predict"]["post"]["parameters"] == []
    with pytest.raises(RequestError, match="no calibration scores"):
        app_of(old, interval=0.9)


def test_a_query_of_very_many_fields_is_the_client_s_fault(folder: Path) -> None:
    response = post(app_of(folder), "/predict?" + "&".join(["a=1"] * 150), ROW)
    assert response.status_code == 400
    assert "over 100 fields" in response.json()["error"]


def test_the_setting_gives_each_answer_a_region(folder: Path) -> None:
    app = app_of(folder, interval=0.9)
    asked = post(app, "/predict?interval=0.9", ROW).json()
    assert post(app, "/predict", ROW).json() == asked


def test_groups_are_named_in_answers(table: pa.Table, tmp_path: Path) -> None:
    folder = bundle_of(tmp_path / "g", table, "regression", GROUPED)
    app = app_of(folder)
    rows = [{"colour": each} for each in ("red", "blue", "green", None)]
    answers = post(app, "/predict?interval=0.8", rows).json()["predictions"]
    assert [answer["group"] for answer in answers] == ["red", None, None, None]
    widths = [answer["interval"][1] - answer["interval"][0] for answer in answers]
    assert widths == pytest.approx([0.4, 1.6, 1.6, 1.6])
    # Four rows of red support .8 and no more.
    (most,) = post(app, "/predict?interval=0.9", {"colour": "red"}).json()["predictions"]
    assert most["group"] is None
    described = call(app, "GET", "/metadata").json()["intervals"]
    assert described["groups"] == [{"value": "red", "rows": 4}]
    assert described["pooled"] == ["blue"]
    assert described["measured"][0]["coverage"] == 0.91
    colours = {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "blue"]}
    outputs = post(
        app, "/v2/models/model/infer", {"inputs": [colours], "parameters": {"interval": 0.8}}
    ).json()["outputs"]
    assert next(each["data"] for each in outputs if each["name"] == "group") == ["red", ""]


def test_the_document_and_the_card_tell_of_them(folder: Path) -> None:
    app = app_of(folder)
    document = call(app, "GET", "/openapi.json").json()
    OpenAPI.model_validate(document)
    assert document["paths"]["/predict"]["post"]["parameters"][0]["name"] == "interval"
    name = Predictor.load(folder).task.region
    properties = document["components"]["schemas"]["Answer"]["properties"]
    assert name in properties
    assert name not in document["components"]["schemas"]["Answer"]["required"]
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"## {name.capitalize()}s" in card
    assert "| 0.9 | 0.9100 | 1.5 | 100 |" in card


def test_a_file_is_predicted_with_them(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS))
    answers = list(predict_file(folder, file, interval=0.9))
    expected = Predictor.load(folder).predict(Predictor.load(folder).table(ROWS), 0.9)
    assert list(map(region, answers)) == list(map(region, expected))
    with pytest.raises(RequestError, match="too few"):
        list(predict_file(folder, file, interval=0.99))


def test_an_ensemble_scales_them_by_its_spread(table: pa.Table, tmp_path: Path) -> None:
    scaled = Intervals(scores=SCORES, offset=0.5)
    predictor = Predictor.load(bundle_of(tmp_path / "e", table, "regression", scaled, ensemble=3))
    for answer in predictor.predict_rows(ROWS, [0.9] * 3):
        low, high = answer["interval"]
        assert high - low == pytest.approx(2 * 0.9 * (answer["spread"] + 0.5))


@pytest.mark.parametrize(
    "odd",
    [
        Intervals(scores=SCORES, offset=0.5),
        Intervals(scores=SCORES, group="size"),
        Intervals(scores=SCORES, group="nosuch"),
    ],
)
def test_scores_that_do_not_fit_the_bundle_are_refused(
    table: pa.Table, tmp_path: Path, odd: Intervals
) -> None:
    folder = bundle_of(tmp_path / "odd", table, "binary", odd)
    with pytest.raises(BundleError, match=r"intervals\.json of the bundle does not fit"):
        Predictor.load(folder)


@pytest.mark.parametrize("content", ["{}", "[", '{"scores": [2, 1]}', '{"scores": [1e999]}'])
def test_hostile_scores_are_refused(table: pa.Table, tmp_path: Path, content: str) -> None:
    folder = bundle_of(tmp_path / "hostile", table, "binary", GROUPED)
    (folder / "intervals.json").write_text(content)
    write_manifest(folder)
    with pytest.raises(BundleError, match=r"intervals\.json of the bundle cannot be read"):
        load_bundle(folder)
