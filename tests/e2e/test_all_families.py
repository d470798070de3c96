"""Networks, boosted trees and linear models in one sweep; several may answer together."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.command import Rayml


def test_all_families_go_from_one_sweep_to_a_bundle(tmp_path: Path, rayml: Rayml) -> None:
    choices = ("data=breast_cancer", "name=both", "seed=1")
    small = ("search.trials=6", "search.pruner.name=none", "train.epochs=4", "train.patience=2")
    greedy = ("confirm=greedy", "confirm.top=2", "confirm.seeds=2", "confirm.max_latency_ms=null")
    swept = rayml(tmp_path, "sweep", *choices, "space=all", "search.name=s", *small, *greedy)
    assert "6 trials for the best accuracy" in swept.stdout

    rayml(tmp_path, "report", "s")
    page = (tmp_path / "runs/sweeps/s/report/index.html").read_text(encoding="utf-8")
    assert all(f"<td>{family}</td>" in page for family in ("mlp", "lightgbm", "linear"))

    rayml(tmp_path, "register", "s", *choices)
    bundle = tmp_path / "runs/registry/both/versions/1"
    info = json.loads((bundle / "bundle.json").read_text())
    assert info["metrics"]["test"]["accuracy"] > 0.85
    record = json.loads((tmp_path / "runs/sweeps/s/confirm.json").read_text())
    assert record["selection"] is None or len(record["selection"]["members"]) == info["ensemble"]

    (tmp_path / "rows.csv").write_text("worst radius,mean texture\n12,15\n25,30\n")
    told = rayml(tmp_path, "predict", "rows.csv", *choices).stdout
    answers = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [each["label"] for each in answers] == ["benign", "malignant"]
