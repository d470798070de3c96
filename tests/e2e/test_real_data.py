"""The flow on real data sets, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rayml.serve.predict.predictor import Predictor
from tests.e2e.command import Rayml


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("adult", {"<=50K", ">50K"}),
        pytest.param("online_shoppers", {"TRUE", "FALSE"}, marks=pytest.mark.slow),
    ],
)
def test_real_data_end_with_an_answering_endpoint(
    tmp_path: Path, shared_data: Path, rayml: Rayml, name: str, labels: set[str]
) -> None:
    done = rayml(
        tmp_path,
        "run",
        f"data={name}",
        f"paths.data={shared_data}",
        "search.trials=2",
        "train.epochs=2",
        "serve=one",
    )
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP 200")]
    (prediction,) = json.loads(answer.partition(": ")[2])["predictions"]
    assert set(prediction["probabilities"]) == labels
    assert "warnings" not in prediction
    predictor = Predictor.load(tmp_path / "runs" / "registry" / name / "versions" / "1")
    assert_unknown_categories_are_predicted_as_known_ones(predictor)
    if name == "adult":
        # A `?` of the files is a missing value, whoever writes it.
        typical = predictor.signature.example()
        gap, token = predictor.predict_rows([typical | {"occupation": v} for v in (None, "?")])
        assert gap == token


def assert_unknown_categories_are_predicted_as_known_ones(predictor: Predictor) -> None:
    numeric = [each.name for each in predictor.signature.inputs if each.kind == "numeric"]
    typical = predictor.signature.example()
    rows = [typical | {name: typical[name] + step for name in numeric} for step in (-1, 0, 1, 5)]
    for column in predictor.preprocessor.categorical:

        def shares(category: str, name: str = column.name) -> np.ndarray:
            asked = [row | {name: category} for row in rows]
            return predictor.estimate(predictor.row_features(asked)).prediction.numpy()

        known = [shares(category) for category in column.categories]
        unknown = shares("unheard of")
        assert (np.min(known, 0) <= unknown).all()
        assert (unknown <= np.max(known, 0)).all()


@pytest.mark.slow
def test_a_sweep_on_adult_reaches_the_published_accuracy(
    tmp_path: Path, shared_data: Path, rayml: Rayml
) -> None:
    rayml(
        tmp_path,
        "run",
        "data=adult",
        f"paths.data={shared_data}",
        "model=mlp",
        "search.trials=30",
        "train=fast",
        "serve=one",
    )
    info = json.loads((tmp_path / "runs/registry/adult/versions/1/bundle.json").read_text())
    # Of a tuned MLP: Gorishniy et al. 2021, table 2.
    assert info["metrics"]["test"]["accuracy"] >= 0.852
