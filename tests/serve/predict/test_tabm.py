"""Bundles of TabM answer with the mean of its members, row by row as in a batch, and explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle
from rayml.types import TaskName

ROWS: list[dict[str, Any]] = [
    {"size": 1.5, "count of parts": 3.0, "colour": "red", "new": True},
    {"size": None, "count of parts": -1e9, "colour": "never seen", "new": None},
    {"size": 1e300, "count of parts": None, "colour": None, "new": False},
]
TABM = {
    "_target_": "rayml.models.nets.tabm.TabM",
    "k": 4,
    "width": 16,
    "dropout": 0.0,
    "numeric": "piecewise",
    "numeric_width": 4,
}


def loaded(table: pa.Table, folder: Path, task: TaskName = "regression", **own: Any) -> Predictor:
    target = "price" if task == "regression" else "label"
    inputs = table.select([*table.column_names[:5], target])
    made = untrained_bundle(
        folder / "b",
        inputs,
        target=target,
        task=task,
        model=TABM,
        ensemble=own.pop("members", None),
    )
    return Predictor.load(made, **own)


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_its_answer_is_the_mean_of_its_members(
    table: pa.Table, tmp_path: Path, task: TaskName, members: int | None
) -> None:
    predictor = loaded(table, tmp_path, task, members=members)
    features = predictor.features(predictor.table(ROWS))
    inputs = torch.from_numpy(features.numeric), torch.from_numpy(features.categorical)
    with torch.inference_mode():
        modules = predictor.members.modules()  # type: ignore[attr-defined]
        outputs = torch.cat([each.train()(*inputs) for each in modules])
        wanted = predictor.task.predict(outputs).mean(0).tolist()
    found = predictor.outputs(features).tolist()
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_row_has_the_same_bits_in_every_batch(table: pa.Table, tmp_path: Path) -> None:
    predictor = loaded(table, tmp_path, batch_invariant=True)
    together = predictor.predict_rows(ROWS)
    assert [predictor.predict_rows([row])[0] for row in ROWS] == together


def test_explanations_add_up_to_the_prediction(table: pa.Table, tmp_path: Path) -> None:
    predictor = loaded(table, tmp_path)
    explainer = Explainer(predictor, tolerance=1e-2, max_steps=4096)
    for row, found in zip(ROWS, explainer.explain(predictor.table(ROWS)), strict=True):
        [answer] = predictor.predict_rows([row])
        sums = found["baseline"] + sum(found["attributions"].values())
        assert found["prediction"] == pytest.approx(answer["value"], rel=1e-5)
        assert sums == pytest.approx(answer["value"], abs=found["tolerance"] + 1e-4)
