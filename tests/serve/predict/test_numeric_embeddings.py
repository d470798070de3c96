"""Bundles of models that embed numbers predict and explain as others do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from rayml.config.components.build import build
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle

ROWS: list[dict[str, Any]] = [
    {"size": 1.5, "count of parts": 3.0, "colour": "red", "new": True},
    {"size": None, "count of parts": -1e9, "colour": "never seen", "new": None},
    {"size": 1e300, "count of parts": None, "colour": None, "new": False},
]


@pytest.fixture(params=["plr", "plr_lite", "piecewise"])
def bundle(request: pytest.FixtureRequest, table: pa.Table, tmp_path: Path) -> Path:
    inputs = table.select([*table.column_names[:5], "price"])
    model = {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "numeric": request.param}
    return untrained_bundle(
        tmp_path / "b", inputs, target="price", task="regression", model={**model, "sigma": 0.5}
    )


def test_predictions_are_those_of_the_trained_module(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    node = predictor.bundle.info.model
    settings = {"_target_": node.target, **node.arguments}
    module = build(settings, shape=predictor.shape, outputs=1)
    module.load_state_dict(predictor.bundle.groups[0].weights())
    features = predictor.features(predictor.table(ROWS))
    target = predictor.signature.target
    with torch.inference_mode():
        inputs = torch.from_numpy(features.numeric), torch.from_numpy(features.categorical)
        wanted = (module.eval()(*inputs)[:, 0].double() * target.scale + target.mean).tolist()
    found = [answer["value"] for answer in predictor.predict_rows(ROWS)]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_explanations_add_up_to_the_prediction(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    explainer = Explainer(predictor, tolerance=1e-2, max_steps=4096)
    for row, found in zip(ROWS, explainer.explain(predictor.table(ROWS)), strict=True):
        [answer] = predictor.predict_rows([row])
        sums = found["baseline"] + sum(found["attributions"].values())
        assert found["prediction"] == pytest.approx(answer["value"], rel=1e-5)
        assert sums == pytest.approx(answer["value"], abs=found["tolerance"] + 1e-4)
