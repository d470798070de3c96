"""Models that are no networks go the way of every model: sweep, bundle, endpoint, explanations."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.command import Rayml


@pytest.mark.parametrize(
    ("model", "target", "file", "package"),
    [
        ("lightgbm", "rayml.models.trees.lightgbm.LightGBM", "trees.txt", "lightgbm"),
        ("xgboost", "rayml.models.trees.xgboost.XGBoost", "trees.json", "xgboost-cpu"),
        (
            "linear_model",
            "rayml.models.linear.linear_model.LinearModel",
            "linear.safetensors",
            "scikit-learn",
        ),
    ],
)
def test_a_family_goes_from_a_sweep_to_an_endpoint(
    tmp_path: Path, rayml: Rayml, model: str, target: str, file: str, package: str
) -> None:
    small = ("search.trials=3", "train.epochs=5", "confirm.top=1", "confirm.seeds=2")
    choices = ("data=breast_cancer", f"model={model}", "name=mine")
    done = rayml(tmp_path, "run", *choices, *small, "serve=one")
    assert "3 trials for the best accuracy" in done.stdout
    (asked,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP 200")]
    (prediction,) = json.loads(asked.partition(": ")[2])["predictions"]
    assert prediction["label"] in {"benign", "malignant"}

    bundle = tmp_path / "runs/registry/mine/versions/1"
    info = json.loads((bundle / "bundle.json").read_text())
    assert info["model"]["_target_"] == target
    assert info["metrics"]["test"]["accuracy"] > 0.85
    listed = json.loads((bundle / "manifest.json").read_text())["files"]
    assert any(name.endswith(file) for name in listed)
    lineage = json.loads((bundle / "lineage.json").read_text())
    assert lineage["packages"][package] == version(package)

    (tmp_path / "rows.csv").write_text("worst radius,mean texture\n12,15\n25,30\n,\n")
    told = rayml(tmp_path, "explain", "rows.csv", *choices).stdout
    answers = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert len(answers) == 3
    for each in answers:
        difference = each["prediction"] - each["baseline"]
        assert sum(each["attributions"].values()) == pytest.approx(difference, abs=1e-5)
