"""A task of an installed package goes from rows to answers, with no edit of rayml."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from rayml.config.components.stored_node import StoredNode
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.data.split.split_method import choose_method
from rayml.errors import ConfigError, DataError, RequestError
from rayml.registry.bundle.bundle import BundleInfo, write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Router
from rayml.serve.model.served import ServedModel
from rayml.serve.model.serving import OneVersion
from rayml.serve.observe.request_counts import AnswerTotals
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.serve.release.counters import VersionCounter
from rayml.serve.release.feedback_request import truth
from rayml.serve.tensors.arrow import write_answers
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings
from rayml.settings.serve import ServeSettings
from rayml.stages.winners.judge import judge
from rayml.stages.winners.winner import Winner, WinnerMember
from rayml.tasks import table
from rayml.train.build import build_lane, build_loop
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate
from rayml.train.speed.probe import why_not_stacked
from rayml.types import Examples
from tests.serve.asgi import call
from tests.serve.openapi.contract import Contract

MODEL = {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "depth": 1}
CONFIG: dict[str, Any] = {
    "model": MODEL,
    "task": {"name": "count", "metric": None, "metrics": {}},
    "train": {"epochs": 12, "batch_size": 64, "eval_batch_size": 512, "optimizer": {"lr": 0.02}},
}


def forget() -> None:
    importlib.invalidate_caches()
    for each in (table._installed, table._loaded):
        each.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A distribution with entry points, as pip lays it out."""
    folder = tmp_path_factory.mktemp("packages")
    info = folder / "counting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[rayml.tasks]\n"
        "count = tests.tasks.count_task:CountTask\n"
        "gone = tests.tasks.no_such_module:Task\n"
        "other = tests.tasks.count_task:CountTask\n"
        "nothing = tests.tasks.count_task:deviance\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        forget()
        yield
    forget()


def rows(number: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x, colour = draw.normal(size=number), draw.integers(0, 2, number)
    visits = draw.poisson(np.exp(0.5 + 0.8 * x + colour))
    names = np.array(["red", "blue"])[colour]
    return pa.table({"x": x, "colour": names, "visits": visits.astype(np.float64)})


class Data:
    """A prepared dataset in memory."""

    hash = "0" * 16

    def __init__(self) -> None:
        self.train, self.test = rows(2000, 1), rows(500, 2)
        schema = infer_schema(self.train, target="visits", settings=SchemaSettings())
        observed = observe(self.train, schema, "count")
        self.preprocessor = Preprocessor.fit(schema, observed, PreprocessSettings(), "count")

    def examples(self, split: str) -> Examples:
        fitted, found = self.preprocessor, self.train if split == "train" else self.test
        return Examples(fitted.transform_batch(found), fitted.encode_target(found["visits"]))

    def test_rows(self) -> pa.Table:
        return self.test


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


@pytest.fixture
def loop(data: Data) -> Any:
    train, test = data.examples("train"), data.examples("test")
    fitted = data.preprocessor
    loop = build_loop(
        CONFIG, train=train, validation=test, shape=fitted.shape, target=fitted.target
    )
    while not loop.finished:
        loop.run_epoch()
    return loop


@pytest.fixture
def bundle(data: Data, loop: Any, tmp_path: Path) -> Path:
    metrics = evaluate(loop.model, loop.task, ArrayBatches(data.examples("test"), 512))
    return write_bundle(
        tmp_path / "bundle",
        info=BundleInfo(
            name="visits",
            model=StoredNode.of(MODEL),
            metric="deviance",
            direction="minimize",
            metrics={"validation": metrics, "test": metrics},
        ),
        signature=make_signature(data.preprocessor),
        lineage=Lineage(
            data_hash=data.hash,
            source_fingerprint="memory",
            sweep="none",
            trial=0,
            params={},
            seed=0,
        ),
        preprocessor=data.preprocessor,
        groups=[GroupState(loop.model.state_dict())],
    )


@pytest.fixture
def model(bundle: Path) -> Iterator[ServedModel]:
    served = ServedModel(Predictor.load(bundle), version="1", settings=ServeSettings())
    yield served
    served.close()


def test_its_target_is_read_as_numbers(data: Data) -> None:
    assert choose_method(SplitSettings(), "count").method == "random"
    info = data.preprocessor.target
    assert (info.task, info.classes) == ("count", ())
    assert info.mean == pytest.approx(data.train["visits"].to_numpy().mean())
    negative = pa.table({"x": [0.0, 1.0], "visits": [-1.0, 2.5]})
    schema = infer_schema(negative, target="visits", settings=SchemaSettings())
    observed = observe(negative, schema, "count")
    with pytest.raises(DataError, match="negative counts"):
        Preprocessor.fit(schema, observed, PreprocessSettings(), "count")


def test_it_is_trained_and_promoted_by_its_own_metric(data: Data, loop: Any) -> None:
    assert (loop.task.metric, loop.task.direction) == ("deviance", "minimize")
    winner = Winner(
        number=0,
        params={},
        config=CONFIG,
        metric="deviance",
        direction="minimize",
        members=[WinnerMember(0, {}, CONFIG, 0, loop.best_weights())],
        validation=None,
        confirmation=None,
    )
    decision = judge(winner, data, None)  # type: ignore[arg-type]
    assert decision.promote
    (found, *_) = decision.figures["constant"]
    assert found["metric"] == "deviance"
    # Of a constant answer's deviance the model leaves a quarter.
    assert found["candidate"] < 1.3 < 4 < found["other"]


def test_lanes_train_as_alone(data: Data, loop: Any) -> None:
    train, fitted = data.examples("train"), data.preprocessor
    lane = build_lane(0, CONFIG, shape=fitted.shape, target=fitted.target)
    batches = ArrayBatches(train, 64)
    assert why_not_stacked(lane, loop.task, batches) is None
    lanes = LaneLoop([lane], loop.task, batches, ArrayBatches(data.examples("test"), 512))
    (result,) = lanes.run_epoch().values()
    alone = build_loop(
        CONFIG, train=train, validation=data.examples("test"), shape=fitted.shape,
        target=fitted.target,
    ).run_epoch()  # fmt: skip
    assert result.metrics == pytest.approx(alone.metrics, rel=1e-4)


def test_the_endpoint_answers_with_its_own_fields(model: ServedModel, data: Data) -> None:
    app = EndpointApp(OneVersion(model), settings=ServeSettings(), router=Router(ROUTES))
    contract = Contract(call(app, "GET", "/openapi.json").json(), closed=True)
    few, many = {"x": -1.0, "colour": "red"}, {"x": 1.5, "colour": "blue"}
    response = call(app, "POST", "/predict", json={"rows": [few, many]})
    contract.check(response)
    one, other = response.json()["predictions"]
    assert set(one) == set(other) == {"count"}
    assert one["count"] == pytest.approx(np.exp(0.5 - 0.8), rel=0.3)
    assert other["count"] == pytest.approx(np.exp(0.5 + 1.2 + 1), rel=0.3)
    tensors = call(
        app,
        "POST",
        "/v2/models/visits/infer",
        json={
            "inputs": [
                {"name": "x", "datatype": "FP64", "shape": [2], "data": [-1.0, 1.5]},
                {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "blue"]},
            ]
        },
    ).json()
    (tensor,) = tensors["outputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("count", "FP64", [2])
    assert tensor["data"] == pytest.approx([one["count"], other["count"]])


def test_arrow_answers_have_its_fields(model: ServedModel, data: Data) -> None:
    predictor = model.predictor
    estimate = predictor.estimate(predictor.features(data.test.drop_columns(["visits"])))
    body = write_answers(estimate, model.tensors.outputs)
    found = pa.ipc.open_stream(body).read_all()
    assert found.column_names[0] == "count"
    assert found["count"].to_pylist() == estimate.prediction.tolist()


def test_explanations_add_up_to_its_rate(model: ServedModel) -> None:
    pytest.importorskip("captum")
    explainer = Explainer(model.predictor, tolerance=0.01, max_steps=2000)
    (found,) = explainer.explain(model.predictor.table([{"x": 1.0, "colour": "blue"}]))
    moved = sum(found["attributions"].values())
    assert moved == pytest.approx(found["prediction"] - found["baseline"], rel=0.02)


def test_feedback_and_histograms_are_its_own(model: ServedModel, data: Data) -> None:
    task = model.predictor.task
    assert truth(3, task, 0) == 3.0
    for wrong in (-1, 2.5, "3"):
        with pytest.raises(RequestError, match="labels are whole numbers from 0 on"):
            truth(wrong, task, 0)
    scale = data.preprocessor.target.scale
    assert task.losses([{"count": 2.0}], [3.0]) == [pytest.approx(1 / scale)]
    counter = VersionCounter(model.signature.target)
    counter.predicted(torch.tensor([0.1, 2.0, 1e6], dtype=torch.float64))
    assert sum(counter.read(AnswerTotals()).predictions) == 3
    apart = task.answers_apart([{"count": 2.0}], [{"count": 2.5}])
    assert (apart.changed, apart.difference) == (0, 0.5)


def test_settings_take_its_name_and_no_other() -> None:
    assert table.task_names()[-4:] == ("count", "gone", "other", "nothing")
    adapter = TypeAdapter(table.KnownTask)
    assert adapter.validate_python("count") == "count"
    with pytest.raises(ValidationError, match=r"there is no task 'tally'; there are .*count"):
        adapter.validate_python("tally")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tally", "there is no task 'tally'. Set data.task to one of binary"),
        ("gone", "'gone' does not import: tests.tasks.no_such_module:Task"),
        ("other", "'other' names itself 'count'"),
        ("nothing", "'nothing' is no subclass of rayml.tasks.task.Task"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        table.task_type(name)
