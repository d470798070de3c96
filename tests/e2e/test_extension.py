"""A user's own data set, model and metric, from a folder of their own and with no edit here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import Rayml

FILES = {
    "shop/__init__.py": "",
    "shop/rows.py": """
import pyarrow as pa
import ray.data

class Visits:
    def __init__(self, count):
        self.count = count

    def fingerprint(self):
        return f"visits {self.count}"

    def read(self):
        number = list(range(self.count))
        return ray.data.from_arrow(pa.table({
            "pages": pa.array([float(i % 13) for i in number]),
            "channel": pa.array([("mail", "search", None)[i % 3] for i in number]),
            "bought": pa.array(["yes" if i % 13 > 6 else "no" for i in number]),
        }))
""",
    "shop/nets.py": """
import torch

class Linear(torch.nn.Module):
    def __init__(self, shape, outputs, gain):
        super().__init__()
        self.gain = gain
        self.numeric = torch.nn.Linear(shape.numeric, outputs)
        self.codes = torch.nn.ModuleList(
            torch.nn.Embedding(size, outputs) for size in shape.cardinalities
        )

    def forward(self, numeric, categorical):
        parts = [table(categorical[:, i]) for i, table in enumerate(self.codes)]
        return self.gain * (self.numeric(numeric) + sum(parts))
""",
    "shop/measures.py": """
class Profit:
    direction = "maximize"

    def __init__(self, margin):
        self.margin = margin

    def __call__(self, prediction, target):
        chosen = prediction > 0.5
        return (chosen * (target * self.margin - 1.0)).mean()
""",
    "conf/data/visits.yaml": """
name: visits
task: binary
target: bought
positive: "yes"
source: {_target_: shop.rows.Visits, count: 300}
schema: {kinds: {bought: categorical}}
""",
    "conf/model/linear.yaml": "{_target_: shop.nets.Linear, gain: 1.0}",
    "conf/space/linear.yaml": """
model: {gain: {type: float, low: 0.5, high: 2.0}}
train: {optimizer: {lr: {type: float, low: 0.01, high: 0.3, log: true}}}
""",
    "conf/experiment/profit.yaml": """
# @package _global_
task:
  metric: profit
  metrics: {profit: {_target_: shop.measures.Profit, margin: 3.0}}
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return tmp_path


def test_a_users_project_goes_from_rows_to_an_endpoint(project: Path, rayml: Rayml) -> None:
    choices = ("data=visits", "model=linear", "experiment=profit", "--config-dir", "conf")
    done = rayml(
        project, "run", *choices, "search.trials=3", "train.epochs=4", "serve=one", "name=shop"
    )
    assert "3 trials for the best profit" in done.stdout
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP ")]
    (prediction,) = json.loads(answer.partition(": ")[2])["predictions"]
    assert prediction["label"] in {"yes", "no"}
    info = json.loads((project / "runs/registry/shop/versions/1/bundle.json").read_text())
    assert info["model"]["_target_"] == "shop.nets.Linear"
    assert info["metric"] == "profit"
    assert 0 < info["metrics"]["test"]["profit"] <= 2.0
