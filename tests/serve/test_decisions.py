"""A bundle with a decision rule: every protocol, comparison and explanation has the same label."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.openapi.models import OpenAPI

from rayml.errors import BundleError
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.manifest import FORMAT_OF_RULES, MANIFEST, write_manifest
from rayml.serve.app.app import EndpointApp
from rayml.serve.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.counters import VersionCounter
from rayml.serve.release.shadow import Shadow
from rayml.settings.serve import ServeSettings
from rayml.stages.predict import predict_file
from rayml.tasks.decisions.rule import DecisionRule, rule_of_costs
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName
from tests.serve.asgi import call
from tests.serve.conftest import TARGETS

ROWS: list[dict[str, Any]] = [
    {"size": size, "colour": colour, "new": new}
    for size in (-2.0, 0.5, 1.5, 40.0)
    for colour in ("red", "blue", "green")
    for new in (True, False)
]
CASES = [(task, members) for task in ("binary", "multiclass") for members in (None, 3)]
STREAM = "application/vnd.apache.arrow.stream"
COSTS = [[0.0, 1.0, 1.1], [2.0, 0.0, 1.0], [1.0, 1.3, 0.0]]


def folder_of(
    folder: Path, table: pa.Table, task: TaskName, rule: DecisionRule | None, **options: Any
) -> Path:
    inputs = table.select([*table.column_names[:5], TARGETS[task]])
    return untrained_bundle(folder, inputs, target=TARGETS[task], task=task, rule=rule, **options)


def pair(
    folder: Path, table: pa.Table, task: TaskName, ensemble: int | None, **options: Any
) -> list[Predictor]:
    """The same models without a rule, and with one that answers some rows otherwise."""
    plain = Predictor.load(
        folder_of(folder / "plain", table, task, None, ensemble=ensemble, **options)
    )
    found = plain.predict(plain.table(ROWS))
    if task == "multiclass":
        shares = np.array([[*each["probabilities"].values()] for each in found])
        missed = np.ones((3, 3)) - np.eye(3)
        rare = shares.mean(0).argmin()
        missed[rare] *= np.median(shares.max(1) / shares[:, rare])  # half the rows get it
        rule = rule_of_costs(missed.tolist())
    else:
        shares = np.quantile([each["probabilities"]["low"] for each in found], [0.2, 0.8])
        farthest = float(shares[np.abs(shares - 0.5).argmax()])
        rule = DecisionRule(metric="f1", threshold=farthest)
    ruled = folder_of(folder / "ruled", table, task, rule, ensemble=ensemble, **options)
    return [plain, Predictor.load(ruled)]


def app_of(predictor: Predictor) -> EndpointApp:
    settings = ServeSettings()
    model = ServedModel(predictor, version="1", settings=settings)
    return EndpointApp(OneVersion(model), settings=settings)


@pytest.mark.parametrize(("task", "members"), CASES)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_protocol_answers_the_same_label(
    table: pa.Table, tmp_path: Path, task: TaskName, members: int | None, temperature: float
) -> None:
    plain, ruled = pair(tmp_path, table, task, members, temperature=temperature)
    before = [each["label"] for each in plain.predict(plain.table(ROWS))]
    answers = ruled.predict(ruled.table(ROWS))
    labels = [each["label"] for each in answers]
    assert labels != before
    assert labels == [each["label"] for each in ruled.predict_rows(ROWS)]
    for each in answers:
        assert each["probability"] == each["probabilities"][each["label"]]
    app = app_of(ruled)
    told = call(app, "POST", "/predict", content=json.dumps(ROWS).encode()).json()["predictions"]
    assert [each["label"] for each in told] == labels
    for start in range(0, len(ROWS), 5):  # other batches, the same labels
        part = json.dumps(ROWS[start : start + 5]).encode()
        found = call(app, "POST", "/predict", content=part).json()["predictions"]
        assert [each["label"] for each in found] == labels[start : start + 5]
    assert arrow_labels(app) == labels
    assert tensor_labels(app) == labels
    assert message_labels(app) == labels
    explained = Explainer(ruled, tolerance=1e-2, max_steps=512).explain(ruled.table(ROWS[:6]))
    assert [each["label"] for each in explained] == labels[:6]


def arrow_labels(app: EndpointApp) -> list[Any]:
    columns = pa.Table.from_pylist(ROWS)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_table(columns)
    response = call(
        app,
        "POST",
        "/predict",
        content=sink.getvalue(),
        headers={"content-type": STREAM, "accept": STREAM},
    )
    labels: list[Any] = pa.ipc.open_stream(response.content).read_all()["label"].to_pylist()
    return labels


def tensor_labels(app: EndpointApp) -> list[Any]:
    kinds = {"size": "FP64", "colour": "BYTES", "new": "BOOL"}
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(ROWS)], "data": [row[name] for row in ROWS]}
        for name, kind in kinds.items()
    ]
    body = json.dumps({"inputs": inputs}).encode()
    response = call(app, "POST", "/v2/models/model/infer", content=body).json()
    found = {each["name"]: each["data"] for each in response["outputs"]}
    labels: list[Any] = found["label"]
    return labels


def message_labels(app: EndpointApp) -> list[Any]:
    request = ModelInferRequest(model_name="model")
    for name, kind, contents in (
        ("size", "FP64", "fp64_contents"),
        ("colour", "BYTES", "bytes_contents"),
        ("new", "BOOL", "bool_contents"),
    ):
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(ROWS)])
        values = [row[name] for row in ROWS]
        getattr(tensor.contents, contents).extend(
            [each.encode() for each in values] if kind == "BYTES" else values
        )
    path = "/inference.GRPCInferenceService/ModelInfer"
    response = call(app, "POST", path, content=request.SerializeToString())
    found = ModelInferResponse.FromString(response.content)
    place = [each.name for each in found.outputs].index("label")
    raw = found.raw_output_contents
    if not raw:
        return [each.decode() for each in found.outputs[place].contents.bytes_contents]
    labels, rest = [], raw[place]
    while rest:
        size = int.from_bytes(rest[:4], "little")
        labels.append(rest[4 : 4 + size].decode())
        rest = rest[4 + size :]
    return labels


def test_a_file_is_predicted_alike(table: pa.Table, tmp_path: Path) -> None:
    _, ruled = pair(tmp_path, table, "binary", None)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = [each["label"] for each in predict_file(ruled.bundle.folder, rows)]
    assert found == [each["label"] for each in ruled.predict(ruled.table(ROWS))]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_shadow_is_compared_by_what_each_answers(
    table: pa.Table, tmp_path: Path, task: TaskName
) -> None:
    plain, ruled = pair(tmp_path, table, task, None)
    labels = [[each["label"] for each in one.predict_rows(ROWS)] for one in (plain, ruled)]
    expected = sum(one != other for one, other in zip(*labels, strict=True))
    assert expected
    rows = plain.table(ROWS)
    for champion, other in ((plain, ruled), (ruled, plain), (ruled, ruled)):
        counter = VersionCounter(other.signature.target)
        shadow = Shadow(other, counter)
        estimate = champion.estimate(champion.features(rows))
        shadow.offer(ROWS, champion.predict_rows(ROWS))
        shadow.offer_table(lambda: rows, estimate, champion.task)
        shadow.close()
        for count, compare in shadow._taken():
            found = compare()
            assert count == len(ROWS)
            assert found.changed == (0 if champion is other else expected)
            assert found.difference == pytest.approx(0, abs=1e-9)


def test_a_canary_is_counted_by_the_classes_that_it_answers(
    table: pa.Table, tmp_path: Path
) -> None:
    plain, ruled = pair(tmp_path, table, "multiclass", None)
    target = plain.signature.target
    predictions = plain.outputs(plain.features(plain.table(ROWS)))
    counted = []
    for each in (plain, ruled):
        counter = VersionCounter(target, each.task.rule)
        counter.predicted(predictions)
        counted.append(counter._predictions)
        labels = [answer["label"] for answer in each.predict_rows(ROWS)]
        assert counter._predictions == [labels.count(label) for label in target.classes]
    assert counted[0] != counted[1]


def test_the_card_the_metadata_and_the_format_tell(table: pa.Table, tmp_path: Path) -> None:
    plain = Predictor.load(folder_of(tmp_path / "a", table, "multiclass", None))
    ruled = Predictor.load(folder_of(tmp_path / "b", table, "multiclass", rule_of_costs(COSTS)))
    formats = [
        json.loads((each.bundle.folder / MANIFEST).read_text())["format"] for each in (plain, ruled)
    ]
    assert formats[1] == FORMAT_OF_RULES > formats[0]
    card = (ruled.bundle.folder / "MODEL_CARD.md").read_text()
    assert "The class of the least expected cost is answered" in card
    assert "| `b` | 2 | 0 | 1 |" in card
    assert "expected cost" not in (plain.bundle.folder / "MODEL_CARD.md").read_text()
    app = app_of(ruled)
    told = call(app, "GET", "/metadata").json()["decision_rule"]
    assert told == {"metric": "cost", "threshold": None, "costs": COSTS, "compared": None}
    assert call(app_of(plain), "GET", "/metadata").json()["decision_rule"] is None
    document = call(app, "GET", "/openapi.json").json()
    OpenAPI.model_validate(document)
    assert "DecisionRule" in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        ("binary", {"metric": "f1", "threshold": 2}),
        ("binary", {"metric": "f1"}),
        ("binary", {"metric": "cost", "threshold": 0.5, "costs": [[0, 1], [1]]}),
        ("binary", {"metric": "cost", "threshold": None, "costs": [[0, 1, 1]] * 3}),
    ],
)
def test_an_odd_rule_is_refused(
    table: pa.Table, tmp_path: Path, task: TaskName, rule: dict[str, Any]
) -> None:
    folder = folder_of(tmp_path / "b", table, task, None)
    change(folder, rule)
    with pytest.raises(BundleError, match="decision_rule"):
        load_bundle(folder)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_rule_of_another_target_is_refused(
    table: pa.Table, tmp_path: Path, task: TaskName
) -> None:
    folder = folder_of(tmp_path / "b", table, task, None)
    change(folder, {"metric": "f1", "threshold": 0.3})
    with pytest.raises(BundleError, match=f"rule that the task '{task}'"):
        Predictor.load(folder)


def change(folder: Path, rule: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decision_rule": rule}))
    write_manifest(folder)
