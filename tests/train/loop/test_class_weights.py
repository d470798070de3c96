"""Rows of some classes count more in training, and probabilities stay those of the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.models.linear.linear_model import LinearModel
from rayml.models.modules.pooling import learn_pool
from rayml.models.nets.mlp import MLP
from rayml.models.nets.tabm import TabM
from rayml.models.trees.lightgbm import LightGBM
from rayml.models.trees.xgboost import XGBoost
from rayml.settings.train import OptimizerSettings, TrainSettings
from rayml.tasks.class_task import ClassTask
from rayml.tasks.table import build_task
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.class_weights import require_read, weighed, weights_of
from rayml.train.loop.loop import TrainingLoop
from rayml.train.loop.results import EpochResult, fixed
from rayml.train.loop.streaming import ParquetSplit
from rayml.types import Examples, Features, FeatureShape, TargetInfo

BINARY = TargetInfo("y", "binary", ("no", "yes"))
SEVERAL = TargetInfo("y", "multiclass", ("a", "b", "rare"))
SHAPE = FeatureShape(2)
BALANCED = TrainSettings(class_weights="balanced")


def drawn(info: TargetInfo, rows: int, seed: int = 0) -> Examples:
    """Rows whose log-odds are linear; the last class is rare."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 2)).astype(np.float32)
    slopes = np.array([[0.0, 0.0], [1.2, -0.5], [0.3, 1.0]])[: len(info.classes)]
    bias = np.array([0.0, -3.0]) if len(info.classes) == 2 else np.array([0.0, 0.3, -3.0])
    odds = numeric @ slopes.T + bias
    shares = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    codes = (shares.cumsum(1) < rng.uniform(size=(rows, 1))).sum(1).clip(max=len(bias) - 1)
    return Examples(Features(numeric, np.zeros((rows, 0), np.int64)), codes.astype(np.int64))


def task_of(info: TargetInfo, settings: TrainSettings, train: Examples) -> ClassTask:
    task = weighed(build_task(info), settings, train)
    assert isinstance(task, ClassTask)
    return task


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
def test_balanced_classes_count_alike(info: TargetInfo) -> None:
    train = drawn(info, 4000)
    task = task_of(info, BALANCED, train)
    weights = task.row_weights(train.target)
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    counted = np.bincount(train.target, weights)
    assert counted == pytest.approx(np.full(len(info.classes), 4000 / len(info.classes)))
    assert build_task(info).row_weights(train.target) is None


def test_named_classes_count_as_told() -> None:
    counts = np.array([90.0, 10.0])
    found = weights_of({"yes": 5.0}, BINARY, counts)
    assert found[1] / found[0] == pytest.approx(5)
    assert (found * counts).sum() == pytest.approx(100)
    truth = TargetInfo("y", "binary", (False, True))
    assert weights_of({"true": 5.0}, truth, counts) == pytest.approx(found)
    # A class without rows counts as one, and nothing is divided by 0.
    assert np.isfinite(weights_of("balanced", SEVERAL, np.array([5.0, 0.0, 5.0]))).all()


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_weighed_rows_at_shifted_outputs(
    info: TargetInfo, smoothing: float
) -> None:
    train = drawn(info, 500)
    task, target = task_of(info, BALANCED, train), torch.from_numpy(train.target)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 500, task.outputs, generator=generator).double()
    weights, shift = task.row_weights(train.target), task.weight_shift
    assert weights is not None
    assert shift is not None
    shifted = outputs + torch.from_numpy(shift)
    plain = build_task(info)
    each = torch.stack(
        [
            plain.loss(shifted[:, [row]], target[[row]], smoothing) * weights[row]
            for row in range(500)
        ]
    )
    torch.testing.assert_close(task.training_loss(outputs, target, smoothing), each.mean(0))
    # Evaluation is of rows that count alike.
    assert torch.equal(task.loss(outputs, target), plain.loss(outputs, target))
    # The members of a model, and lanes with rows of their own.
    members = torch.stack([outputs, outputs + 1], 1)
    both = torch.stack([task.training_loss(x, target, smoothing) for x in (outputs, outputs + 1)])
    torch.testing.assert_close(task.members_loss(members, target, smoothing), both.mean(0))
    own = torch.stack([target.roll(shift) for shift in range(3)])
    found = task.training_loss(outputs, own, smoothing)
    for lane in range(3):
        alone = task.training_loss(outputs[lane], own[lane], smoothing)
        torch.testing.assert_close(found[lane], alone)
    of_members = task.members_loss(members, own, torch.full((3, 1), smoothing).double())
    torch.testing.assert_close(of_members[0], task.members_loss(members[0], own[0], smoothing))


def as_predicted(task: ClassTask, outputs: Any) -> np.ndarray:
    found = task.predict(torch.as_tensor(outputs, dtype=torch.float64)).numpy()
    return task.probabilities(found)


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
def test_a_linear_model_is_scikit_learns_corrected_for_the_weights(info: TargetInfo) -> None:
    train = drawn(info, 3000)
    task = task_of(info, BALANCED, train)
    model = LinearModel(SHAPE, task.outputs)
    list(model.fit(train, train, task=task, settings=BALANCED))
    reference = LogisticRegression(class_weight="balanced", tol=1e-6, max_iter=1000)
    reference.fit(train.features.numeric, train.target)
    weights = task.class_weights
    assert weights is not None
    expected = reference.predict_proba(train.features.numeric) / weights
    expected /= expected.sum(1, keepdims=True)
    found = as_predicted(task, model.predict(train.features))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def trained_alone(model: Callable[[], Any]) -> Callable[[ClassTask, Examples, TrainSettings], Any]:
    def train(task: ClassTask, examples: Examples, settings: TrainSettings) -> Any:
        torch.manual_seed(0)
        batches = ArrayBatches(examples, 256)
        made = model()
        learn_pool(made, task)
        loop = TrainingLoop(made, task, batches, ArrayBatches(examples, 4000), settings)
        while not loop.finished:
            loop.advance()
        loop.model.eval()
        numeric = torch.from_numpy(examples.features.numeric)
        outputs = loop.model(numeric, torch.zeros(len(numeric), 0, dtype=torch.int64))
        return outputs.detach()

    return train


def boosted(make: Callable[..., Estimator]) -> Callable[[ClassTask, Examples, TrainSettings], Any]:
    def train(task: ClassTask, examples: Examples, settings: TrainSettings) -> Any:
        model = make(SHAPE, task.outputs)
        rounds = model.fit(examples, examples, task=task, settings=settings)
        last = [next(rounds) for _ in range(3)][-1]
        found = model.predict(examples.features)
        np.testing.assert_allclose(last.outputs, found, atol=1e-5)
        again = make(SHAPE, task.outputs)
        again.load(model.save())
        np.testing.assert_allclose(again.predict(examples.features), found, atol=1e-5)
        target = torch.from_numpy(examples.target)
        own = task.training_loss(torch.from_numpy(found).double(), target)
        assert last.loss == pytest.approx(float(own), abs=1e-5)
        return found

    return train


def linear(task: ClassTask, examples: Examples, settings: TrainSettings) -> Any:
    model = LinearModel(SHAPE, task.outputs)
    list(model.fit(examples, examples, task=task, settings=settings))
    return model.predict(examples.features)


FAMILIES = {
    "mlp": lambda outputs: trained_alone(lambda: MLP(SHAPE, outputs, width=16, depth=1)),
    "tabm": lambda outputs: trained_alone(lambda: TabM(SHAPE, outputs, width=16, depth=1, k=4)),
    "linear": lambda _: linear,
    "lightgbm": lambda _: boosted(partial(LightGBM, num_leaves=4)),
    "xgboost": lambda _: boosted(partial(XGBoost, max_depth=2)),
}


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
@pytest.mark.parametrize("family", FAMILIES)
def test_probabilities_stay_those_of_the_data(info: TargetInfo, family: str) -> None:
    train = drawn(info, 6000)
    settings = TrainSettings(
        class_weights="balanced", epochs=12, optimizer=OptimizerSettings(lr=0.01)
    )
    task = task_of(info, settings, train)
    found = as_predicted(task, FAMILIES[family](task.outputs)(task, train, settings))
    # Without the correction the rare class would have a share of about one in so many classes.
    shares = np.bincount(train.target) / len(train)
    np.testing.assert_allclose(found.mean(0), shares, atol=0.02)


@pytest.mark.parametrize("info", [BINARY, SEVERAL], ids=lambda info: info.task)
@pytest.mark.parametrize("trees", [LightGBM, XGBoost])
def test_trees_that_find_no_split_answer_the_shares(trees: Any, info: TargetInfo) -> None:
    train = drawn(info, 1000)
    flat = Examples(
        Features(np.zeros((1000, 2), np.float32), train.features.categorical), train.target
    )
    task = task_of(info, BALANCED, flat)
    model = trees(SHAPE, task.outputs)
    (only,) = model.fit(flat, flat, task=task, settings=BALANCED)
    assert only.last
    found = as_predicted(task, model.predict(flat.features))
    np.testing.assert_allclose(found[0], np.bincount(train.target) / 1000, atol=1e-6)
    assert as_predicted(task, only.outputs)[0] == pytest.approx(found[0])


def test_lanes_train_as_each_alone() -> None:
    train, held = drawn(SEVERAL, 600), drawn(SEVERAL, 300, seed=1)
    task = task_of(SEVERAL, BALANCED, train)
    batches, validation = ArrayBatches(train, 100), ArrayBatches(held, 300)
    settings = [
        TrainSettings(class_weights="balanced", seed=seed, label_smoothing=0.1 * seed, epochs=3)
        for seed in range(2)
    ]

    def model(seed: int) -> MLP:
        torch.manual_seed(seed)
        return MLP(SHAPE, task.outputs, width=8, depth=1)

    lanes = [NewLane(number, model(number), each) for number, each in enumerate(settings)]
    together = LaneLoop(lanes, task, batches, validation)
    alone = [TrainingLoop(model(i), task, batches, validation, e) for i, e in enumerate(settings)]
    plain = LaneLoop([NewLane(0, model(0), settings[0])], build_task(SEVERAL), batches, validation)
    for _ in range(3):
        found, unweighed = together.run_epoch(), plain.run_epoch()[0]
        for number, loop in enumerate(alone):
            one, other = found[number], loop.run_epoch()
            assert isinstance(one, EpochResult)
            assert one.loss == pytest.approx(other.loss, rel=1e-4)
            assert one.metrics["log_loss"] == pytest.approx(other.metrics["log_loss"], rel=1e-4)
        assert isinstance(unweighed, EpochResult)
        assert isinstance(found[0], EpochResult)
        assert unweighed.loss != pytest.approx(found[0].loss, rel=1e-2)


def test_streamed_rows_are_counted_file_by_file(tmp_path: Path) -> None:
    train = drawn(BINARY, 1000)
    files = []
    for part in range(2):
        rows = np.arange(part * 500, part * 500 + 500)
        files.append(tmp_path / f"{part}.parquet")
        pq.write_table(pa.table({"row": rows}), files[-1])
    split = ParquetSplit(tuple(files), lambda table: train.rows(table["row"].to_numpy()))
    streamed = weighed(build_task(BINARY), BALANCED, split)
    assert streamed.class_weights is not None
    assert streamed.class_weights == pytest.approx(task_of(BINARY, BALANCED, train).class_weights)


# ---------------------------------------------------------------- settings


def test_labels_are_read_as_texts() -> None:
    for given in ({True: 3, "no": 1}, [{"label": True, "weight": 3}, {"label": "no", "weight": 1}]):
        settings = TrainSettings(class_weights=given)  # type: ignore[arg-type]
        assert settings.class_weights == {"true": 3, "no": 1}
    assert "class_weights" not in fixed(TrainSettings())
    assert fixed(BALANCED)["class_weights"] == "balanced"


@pytest.mark.parametrize(
    "given",
    [
        "even",
        {},
        {"yes": 0},
        {"yes": -1},
        {"yes": 1e9},
        {"yes": float("nan")},
        {1: 2, "1": 3},
        [{"label": "yes"}],
        ["yes"],
        3,
    ],
)
def test_odd_weights_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        TrainSettings(class_weights=given)


def test_what_cannot_be_weighed_is_refused() -> None:
    train = drawn(BINARY, 100)
    with pytest.raises(ConfigError, match="'y' is a number"):
        weighed(build_task(TargetInfo("y", "regression")), BALANCED, train)
    odd = TrainSettings(class_weights={"maybe": 2})
    with pytest.raises(ConfigError, match="a class that 'y' does not have: 'maybe'"):
        weighed(build_task(BINARY), odd, train)

    class Deaf(LinearModel):
        reads = frozenset[str]()

    with pytest.raises(ConfigError, match="Deaf does not read it"):
        require_read(BALANCED, Deaf)
    require_read(TrainSettings(), Deaf)
    require_read(BALANCED, LinearModel)
