"""A user's own components, from a folder of their own and with no edit here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rayml.search.journal.journal import read_study
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
    # No PyTorch: the nearest centroid, of a part of the rows that the seed draws.
    "shop/nearest.py": """
import json

import numpy as np

from rayml.models.estimators.estimator import Estimator, Round


class NearestCentroid(Estimator):
    batch_invariant = True

    def __init__(self, shape, outputs, *, sharpness=1.0, part=0.5):
        self.shape, self.sharpness, self.part = shape, sharpness, part
        self.centres = np.zeros((2, shape.numeric + sum(shape.cardinalities)))

    def inputs(self, features):
        sizes = enumerate(self.shape.cardinalities)
        codes = [np.eye(size)[features.categorical[:, place]] for place, size in sizes]
        return np.concatenate([features.numeric.astype(float), *codes], axis=1)

    def fit(self, train, validation, *, task, settings):
        draw = np.random.default_rng(settings.seed)
        chosen = draw.random(len(train)) < self.part
        x, y = self.inputs(train.features)[chosen], train.target[chosen]
        self.centres = np.stack([x[y == code].mean(0) for code in (0, 1)])
        wrong = (self.predict(train.features)[:, 0] > 0) != train.target
        yield Round(float(wrong.mean()), last=True)

    def slopes(self):
        return 2 * self.sharpness * (self.centres[1] - self.centres[0])

    def predict(self, features):
        middle = self.centres.mean(0)
        # Column by column: the bits of a sum along an axis depend on the number of rows.
        columns = zip(self.inputs(features).T, middle, self.slopes())
        return sum((column - m) * slope for column, m, slope in columns)[:, None]

    def save(self):
        return {"centroids.json": json.dumps(self.centres.tolist()).encode()}

    def load(self, files):
        self.centres = np.array(json.loads(files["centroids.json"]))

    @property
    def parameters(self):
        return self.centres.size

    def explain(self, rows, baseline, codes, task):
        moved = (self.inputs(rows) - self.inputs(baseline)) * self.slopes()
        ends = np.cumsum(self.shape.cardinalities)[:-1]
        numbers, codes_ = np.split(moved, [self.shape.numeric], axis=1)
        parts = [part.sum(1, keepdims=True) for part in np.split(codes_, ends, axis=1)]
        shares = np.concatenate([numbers, *parts[: len(self.shape.cardinalities)]], axis=1)
        start, end = (1 / (1 + np.exp(-self.predict(each)[:, 0])) for each in (baseline, rows))
        odds = shares.sum(1)
        rate = np.where(odds == 0, 0, (end - start) / np.where(odds == 0, 1, odds))
        return shares * (rate * np.where(codes == 1, 1, -1))[:, None]
""",
    "conf/model/nearest.yaml": "{_target_: shop.nearest.NearestCentroid, sharpness: 1.0}",
    "conf/space/nearest.yaml": """
model: {sharpness: {type: float, low: 0.1, high: 10.0, log: true}}
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
    "shop/search.py": """
from optuna.samplers import BaseSampler

from rayml.search.pruning.pruning import KEEP, PruningDecision

class Steps(BaseSampler):
    def __init__(self, seed, share):
        assert isinstance(seed, int)
        self.share = share

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        low, high = param_distribution.low, param_distribution.high
        return low + (high - low) * self.share * trial.number

class OddOnes:
    def __init__(self, max_epochs, after):
        self.after = min(after, max_epochs)

    def seen(self, number, step, value):
        pass

    def decide(self, number, step, value):
        if number % 2 and step >= self.after:
            return PruningDecision("prune", f"trial {number} is odd")
        return KEEP

    def completed(self, number):
        pass
""",
    "conf/search/steps.yaml": """
defaults: [default, _self_]
sampler: {_target_: shop.search.Steps, share: 0.25}
pruner: {_target_: shop.search.OddOnes, after: 2}
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


def test_a_users_sampler_and_pruner_decide_a_sweep(project: Path, rayml: Rayml) -> None:
    choices = ("data=visits", "model=linear", "space=linear", "search=steps")
    rayml(
        project, "sweep", *choices, "--config-dir", "conf", "search.name=s", "search.trials=4",
        "train.epochs=3", "confirm=none",
        # Trials that join others as lanes have their structure, which the sampler then leaves.
        "search.cohort.lanes=1",
    )  # fmt: skip
    trials = read_study(project / "runs/sweeps/s/journal.log").trials
    assert [each.params["model.gain"] for each in trials] == [0.5, 0.875, 1.25, 1.625]
    assert [each.state.name for each in trials] == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED"]
    assert [len(each.intermediate_values) for each in trials] == [3, 2, 3, 2]
    assert trials[1].user_attrs["reason"] == "trial 1 is odd"


def test_check_refuses_what_is_no_sampler_and_no_pruner(project: Path, rayml: Rayml) -> None:
    swapped = (
        "+search.sampler={_target_: shop.search.OddOnes, after: 2, max_epochs: 3}",
        "+search.pruner={_target_: shop.search.Steps, share: 0.5, seed: 1}",
    )
    done = rayml(
        project, "check", "data=visits", "model=linear", *swapped, "--config-dir", "conf", code=2
    )
    assert "search.sampler: shop.search.OddOnes makes no optuna.samplers.BaseSampler" in done.stderr
    assert "search.pruner: shop.search.Steps is no pruner, as it has no seen" in done.stderr


def test_a_users_estimator_goes_from_a_sweep_to_an_endpoint(project: Path, rayml: Rayml) -> None:
    choices = ("data=visits", "model=nearest", "space=nearest", "name=near", "--config-dir", "conf")
    small = ("search.trials=2", "confirm=ensemble", "confirm.top=1", "confirm.seeds=2")
    done = rayml(project, "run", *choices, *small, "serve=one")
    assert "2 trials for the best accuracy" in done.stdout
    (asked,) = [line for line in done.stdout.splitlines() if line.startswith("HTTP ")]
    (prediction,) = json.loads(asked.partition(": ")[2])["predictions"]
    assert prediction["label"] in {"yes", "no"}
    assert prediction["spread"] > 0

    bundle = project / "runs/registry/near/versions/1"
    info = json.loads((bundle / "bundle.json").read_text())
    assert info["model"]["_target_"] == "shop.nearest.NearestCentroid"
    assert info["metrics"]["test"]["accuracy"] > 0.8
    assert info["confirmed"]["seeds"] == 2
    listed = json.loads((bundle / "manifest.json").read_text())["files"]
    assert {f"members/{i}/centroids.json" for i in (0, 1)} <= listed.keys()
    assert "weights.safetensors" not in listed

    (project / "rows.csv").write_text("pages,channel\n12,mail\n0,search\n1,\n")
    answers = rayml(project, "predict", "rows.csv", *choices).stdout
    labels = [json.loads(each)["label"] for each in answers.splitlines() if each.startswith("{")]
    assert labels == ["yes", "no", "no"]
    told = rayml(project, "explain", "rows.csv", *choices).stdout
    for each in map(json.loads, (line for line in told.splitlines() if line.startswith("{"))):
        difference = each["prediction"] - each["baseline"]
        assert sum(each["attributions"].values()) == pytest.approx(difference, abs=1e-5)

    # Without --config-dir nothing of the project is trusted, and nothing of it runs.
    refused = rayml(project, "predict", "rows.csv", "data=wine", "name=near", code=1)
    assert "that code is not trusted" in refused.stderr
