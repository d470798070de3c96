"""The flow on real data sets, where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_a_sweep_on_adult_reaches_the_published_accuracy(
    tmp_path: Path, shared_data: Path, rayml: Rayml
) -> None:
    rayml(
        tmp_path,
        "run",
        "data=adult",
        f"paths.data={shared_data}",
        "search.trials=30",
        "train=fast",
        "serve=one",
    )
    info = json.loads((tmp_path / "runs/registry/adult/versions/1/bundle.json").read_text())
    # Of a tuned MLP: Gorishniy et al. 2021, table 2.
    assert info["metrics"]["test"]["accuracy"] >= 0.852
