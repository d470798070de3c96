"""What a trained model predicts for an unknown category lies among what it does for known ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn import functional

from rayml.config.components.build import build
from rayml.config.components.trust import Trust
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.infer_schema import infer_schema
from rayml.models.ensemble import stack_weights
from rayml.models.estimators.members import Committee, ModuleMember
from rayml.registry.bundle.bundle import write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.provenance import Lineage
from rayml.registry.bundle.signature import make_signature
from rayml.serve.predict.predictor import Predictor
from rayml.settings.data import PreprocessSettings, SchemaSettings
from rayml.stages.winners.stand_ins import TRAINED_ROWS, find_stand_ins
from rayml.tasks.table import build_task, outputs_of
from rayml.tasks.task import Task
from rayml.types import Examples, FeatureShape, SplitName, TaskName

ROWS = 300
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"_target_": "rayml.models.nets.mlp.MLP", "width": 32, "depth": 2},
    "resnet": {"_target_": "rayml.models.nets.resnet.TabularResNet", "width": 16, "depth": 1},
    "own": {"_target_": "tests.stages.winners.test_stand_ins.OwnModel"},
}


class OwnModel(nn.Module):
    """A user's model: one-hot codes, and an embedding of its own; it writes to its inputs."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.cardinalities = shape.cardinalities
        self.layers = nn.ModuleList([nn.Embedding(n, 3) for n in shape.cardinalities])
        width = shape.numeric + sum(n + 3 for n in shape.cardinalities)
        self.net = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, outputs))

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        parts = [numeric]
        for place, (count, layer) in enumerate(zip(self.cardinalities, self.layers, strict=True)):
            codes = categorical[:, place]
            parts += [functional.one_hot(codes, count).float(), layer(codes)]
        x = torch.cat(parts, dim=1)
        result: torch.Tensor = self.net(x)
        numeric.mul_(0)
        if not torch.is_grad_enabled():
            categorical.zero_()
        return result


def shop(seed: int) -> pa.Table:
    """Two classes by interactions of categories; `side` has two values of little effect."""
    rng = np.random.default_rng(seed)
    job = rng.choice(
        ["cook", "clerk", "chef", "smith", "guard"], ROWS, p=[0.4, 0.3, 0.15, 0.1, 0.05]
    )
    side = rng.choice(["left", "right"], ROWS)
    size = rng.normal(size=ROWS)
    push = {"cook": 2.0, "clerk": -2.0, "chef": 0.5, "smith": 3.0, "guard": -1.0}
    score = np.array([push[each] for each in job]) * size + 0.3 * (side == "left")
    y = np.where(score + rng.normal(size=ROWS) > 0, "p", "n")
    gaps = rng.random(ROWS) < 0.1
    return pa.table({"size": size, "job": job, "side": pa.array(side, mask=gaps), "y": y})


def houses(seed: int) -> pa.Table:
    """A value by categories alone."""
    rng = np.random.default_rng(seed + 100)
    place, kind = rng.choice(list("abcdefgh"), ROWS), rng.choice(["flat", "house"], ROWS)
    price = np.array([ord(each) % 5 for each in place]) * 10.0 + 25 * (kind == "house")
    return pa.table({"place": place, "kind": kind, "y": price + rng.normal(size=ROWS)})


DATA = {"shop": (shop, "binary"), "houses": (houses, "regression")}


@dataclass
class Prepared:
    """As much of a prepared dataset as is asked for."""

    preprocessor: Preprocessor
    train: Examples

    def code_counts(self, split: SplitName) -> list[np.ndarray]:
        assert split == "train"
        codes = self.train.features.categorical
        sizes = self.preprocessor.shape.cardinalities
        return [np.bincount(codes[:, i], minlength=n) for i, n in enumerate(sizes)]

    def sample(self, split: SplitName, rows: int) -> Examples:
        assert split == "train"
        features = self.train.features
        chosen = type(features)(features.numeric[:rows], features.categorical[:rows])
        return Examples(chosen, self.train.target[:rows])


def prepared(table: pa.Table, task: TaskName, **settings: Any) -> Prepared:
    schema = infer_schema(table, target="y", settings=SchemaSettings())
    statistics = observe(table, schema, task)
    fitted = Preprocessor.fit(schema, statistics, PreprocessSettings(**settings), task)
    target = fitted.encode_target(table.column("y"))
    return Prepared(fitted, Examples(fitted.transform_batch(table), target))


def trained(model: dict[str, Any], data: Prepared, task: Task, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    target = data.preprocessor.target
    module = build(model, shape=data.preprocessor.shape, outputs=outputs_of(target))
    assert isinstance(module, nn.Module)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    numeric = torch.from_numpy(data.train.features.numeric)
    codes = torch.from_numpy(data.train.features.categorical)
    truth = torch.from_numpy(data.train.target)
    for _ in range(40):
        optimizer.zero_grad()
        task.loss(module(numeric.clone(), codes.clone()), truth).backward()
        optimizer.step()
    return module.eval()


def wrapped(models: list[nn.Module]) -> list[ModuleMember]:
    return [ModuleMember(each, 1, 8192) for each in models]


def bundled(
    folder: Path, model: dict[str, Any], members: list[nn.Module], preprocessor: Preprocessor
) -> Predictor:
    states = [each.state_dict() for each in members]
    many = len(states) > 1
    metrics = {"accuracy": 0.5}
    write_bundle(
        folder,
        info=BundleInfo(
            name="m",
            model=model,
            metric="accuracy",
            direction="maximize",
            metrics={"validation": metrics, "test": metrics},
            ensemble=len(states) if many else None,
        ),
        signature=make_signature(preprocessor),
        lineage=Lineage(
            data_hash="0", source_fingerprint="0", sweep="s", trial=0, params={}, seed=0
        ),
        preprocessor=preprocessor,
        groups=[GroupState(stack_weights(states) if many else states[0])],
    )
    return Predictor.load(folder, trust=Trust(modules=(__name__,)))


def answers(predictor: Predictor, rows: list[dict[str, Any]]) -> np.ndarray:
    return predictor.estimate(predictor.row_features(rows)).prediction.double().numpy()


def outside(predictor: Predictor, rows: list[dict[str, Any]], column: str) -> int:
    """Rows whose prediction with an unknown category is not among those with the known ones."""
    categories = {each.name: each for each in predictor.preprocessor.categorical}[column].categories
    known = [answers(predictor, [row | {column: each} for row in rows]) for each in categories]
    unknown = answers(predictor, [row | {column: "unheard of"} for row in rows])
    return int(((unknown < np.min(known, 0)) | (unknown > np.max(known, 0))).sum())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("source", DATA)
def test_an_unknown_category_is_predicted_as_the_known_are(
    tmp_path: Path, source: str, name: str
) -> None:
    make, kind = DATA[source]
    wrong = 0
    for seed in range(2):
        table = make(seed)
        data = prepared(table, kind)
        task = build_task(data.preprocessor.target)
        models = [trained(MODELS[name], data, task, 10 * seed + i) for i in range(2)]
        rows = table.slice(0, 50).drop_columns(["y"]).to_pylist()
        for label, members in (("alone", models[:1]), ("ensemble", models)):
            folder = tmp_path / f"{label}-{seed}"
            wrong += check(folder, MODELS[name], members, task, data, rows)
    # As it was initialised, the code leads anywhere: this is what the stand-ins mend.
    assert wrong > 0 or source == "houses"


def check(
    folder: Path,
    model: dict[str, Any],
    members: list[nn.Module],
    task: Task,
    data: Prepared,
    rows: list[dict[str, Any]],
) -> int:
    """Check a bundle; gives how many rows were wrong without stand-ins."""
    stand_ins = find_stand_ins(Committee(wrapped(members)), task, data)  # type: ignore[arg-type]
    columns = [each.name for each in data.preprocessor.categorical]
    assert list(stand_ins) == columns
    settled = data.preprocessor.standing_in(stand_ins)
    predictor = bundled(folder / "with", model, members, settled)
    before = bundled(folder / "without", model, members, data.preprocessor)
    assert [outside(predictor, rows, column) for column in columns] == [0] * len(columns)
    # Rows of known categories are answered as ever, and missing values too.
    assert answers(predictor, rows).tolist() == answers(before, rows).tolist()
    return sum(outside(before, rows, column) for column in columns)


def test_a_code_that_training_fills_is_left_alone() -> None:
    table = shop(0)
    rare = prepared(table, "binary", max_categories=3)  # some 45 rows have smith or guard
    task = build_task(rare.preprocessor.target)
    models = [trained(MODELS["mlp"], rare, task, 0)]
    assert (rare.train.features.categorical[:, 0] == 0).sum() >= TRAINED_ROWS
    assert set(find_stand_ins(Committee(wrapped(models)), task, rare)) == {"side"}  # type: ignore[arg-type]
    none = prepared(table, "binary", min_count=ROWS)
    assert find_stand_ins(Committee(wrapped(models)), task, none) == {}  # type: ignore[arg-type]


def test_a_few_rows_train_no_code() -> None:
    table = shop(0)
    counts = np.unique(table["job"].to_numpy(), return_counts=True)[1]
    few = prepared(table, "binary", min_count=int(counts.min() + 1))
    task = build_task(few.preprocessor.target)
    unknown = int((few.train.features.categorical[:, 0] == 0).sum())
    assert 0 < unknown < TRAINED_ROWS
    models = [trained(MODELS["mlp"], few, task, 0)]
    assert "job" in find_stand_ins(Committee(wrapped(models)), task, few)  # type: ignore[arg-type]
