"""Bundles of estimators: predicted, explained, and refused where something does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rayml.config.components.trust import Trust
from rayml.errors import BundleError, ExplainError
from rayml.models.nets.mlp import MLP
from rayml.registry.bundle.bundle import load_bundle
from rayml.registry.bundle.manifest import MANIFEST, write_manifest
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.testing.bundles import untrained_bundle
from rayml.types import Features, TaskName
from tests.toy_estimators import Centroids, Slopes

TRUST = Trust(modules=("tests",))
TABLE = pa.table(
    {
        "size": [float(i % 7) for i in range(40)],
        "colour": ["red", "green", "blue", "red"] * 10,
        "price": [1.5 * (i % 7) + i % 3 for i in range(40)],
        "bought": ["stay", "leave"] * 20,
    }
)
TASKS: dict[str, tuple[str, TaskName]] = {
    "regression": ("price", "regression"),
    "binary": ("bought", "binary"),
}


def bundle(folder: Path, kind: type, task: str = "regression", **settings: Any) -> Path:
    node = {"_target_": f"{kind.__module__}.{kind.__name__}"}
    target, name = TASKS[task]
    return untrained_bundle(folder / "b", TABLE, target=target, task=name, model=node, **settings)


def rows(task: str = "regression") -> pa.Table:
    return TABLE.drop_columns([TASKS[task][0]])


def test_one_estimator_predicts_as_it_does_alone(tmp_path: Path) -> None:
    folder = bundle(tmp_path, Slopes)
    predictor = Predictor.load(folder, trust=TRUST)
    estimator = Slopes(predictor.shape, 1)
    estimator.load(predictor.bundle.groups[0].files()[0])
    alone = torch.from_numpy(estimator.predict(predictor.features(rows())).astype(np.float32))
    expected = predictor.task.predict(alone).tolist()
    assert [each["value"] for each in predictor.predict(rows())] == expected


def test_an_ensemble_answers_the_mean_and_its_spread(tmp_path: Path) -> None:
    predictor = Predictor.load(bundle(tmp_path, Slopes, "binary", ensemble=3), trust=TRUST)
    features = predictor.features(rows("binary"))
    each = []
    for files in predictor.bundle.groups[0].files():
        estimator = Slopes(predictor.shape, 1)
        estimator.load(files)
        outputs = torch.from_numpy(estimator.predict(features).astype(np.float32))
        each.append(predictor.task.predict(outputs))
    found = predictor.estimate(features)
    assert torch.equal(found.prediction, torch.stack(each).mean(0))
    assert found.spread is not None
    assert (found.spread > 0).all()


class Promises(Slopes):
    batch_invariant = True


@pytest.mark.parametrize(("kind", "sizes"), [(Slopes, {1}), (Promises, {3, 40})])
def test_a_row_has_the_same_bits_in_every_batch_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, sizes: set[int]
) -> None:
    asked: set[int] = set()
    predict = Slopes.predict

    def noted(self: Slopes, features: Features) -> Any:
        asked.add(len(features))
        return predict(self, features)

    monkeypatch.setattr(Slopes, "predict", noted)
    folder = bundle(tmp_path, kind, "binary")
    predictor = Predictor.load(folder, trust=TRUST, batch_invariant=True)
    table = rows("binary")
    whole = predictor.outputs(predictor.features(table))
    parts = [predictor.outputs(predictor.features(table.slice(at, 3))) for at in range(0, 39, 3)]
    assert torch.equal(torch.cat(parts), whole[:39])
    # One that does not promise it is asked for one row at a time.
    assert asked == sizes


def test_its_own_explanation_adds_up(tmp_path: Path) -> None:
    predictor = Predictor.load(bundle(tmp_path, Slopes, ensemble=2), trust=TRUST)
    explainer = Explainer(predictor, tolerance=1e-3, max_steps=8)
    for row, found in enumerate(explainer.explain(rows().slice(0, 5))):
        value = predictor.predict(rows().slice(row, 1))[0]["value"]
        assert found["prediction"] == pytest.approx(value)
        total = sum(found["attributions"].values())
        assert total == pytest.approx(found["prediction"] - found["baseline"], abs=1e-4)
        assert found["converged"]
        assert found["steps"] == 0
        assert set(found["attributions"]) == {"size", "colour", "bought"}


class Narrow(Slopes):
    def explain(self, rows, baseline, codes, task):
        return super().explain(rows, baseline, codes, task)[:, :1]


class Silent(Slopes):
    explain = Centroids.explain


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Silent, "predictions of Silent cannot be explained: it has no method `explain`"),
        (Narrow, r"Narrow.explain returns shape \(40, 1\); these rows and features need \(40, "),
    ],
)
def test_what_cannot_be_explained_says_so(tmp_path: Path, kind: type, words: str) -> None:
    predictor = Predictor.load(bundle(tmp_path, kind), trust=TRUST)
    explainer = Explainer(predictor, tolerance=1e-3, max_steps=8)
    with pytest.raises(ExplainError, match=words):
        explainer.explain(rows())
    assert predictor.predict(rows())


def test_only_trusted_code_is_built(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="that code is not trusted; none of it ran"):
        Predictor.load(bundle(tmp_path, Slopes))


def test_its_files_are_listed_and_checked(tmp_path: Path) -> None:
    folder = bundle(tmp_path, Slopes, ensemble=2)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["format"] == 3
    assert {"members/0/slopes.json", "members/1/slopes.json"} <= manifest["files"].keys()
    opened = load_bundle(folder, TRUST)
    path = folder / "members/1/slopes.json"
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(BundleError, match=r"members/1/slopes\.json"):
        load_bundle(folder, TRUST)
    with pytest.raises(BundleError, match=r"members/1/slopes\.json"):
        opened.groups[0].files()  # it changed after it was verified


def test_a_bundle_of_modules_keeps_its_format(tmp_path: Path) -> None:
    folder = bundle(tmp_path, MLP)
    assert json.loads((folder / MANIFEST).read_text())["format"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "members/1/slopes.json").unlink(), "files of 1 members, and .* names 2"),
        (lambda f: (f / "members/0/slopes.json").write_text("[]"), "does not take the files"),
        (lambda f: (f / "members/0/slopes.json").rename(f / "members/0/x.json"), "KeyError"),
        (lambda f: swap(f, MLP), r"nets\.mlp\.MLP of its bundle\.json makes a MLP"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    folder = bundle(tmp_path, Strict, ensemble=2)
    change(folder)
    (folder / MANIFEST).unlink()
    write_manifest(folder, 3)
    with pytest.raises(BundleError, match=words):
        Predictor.load(folder, trust=TRUST)


class Strict(Slopes):
    def load(self, files):
        super().load(files)
        if self.weights.ndim != 2:
            raise ValueError("slopes.json holds no matrix")


def swap(folder: Path, kind: type) -> None:
    path = folder / "bundle.json"
    info = json.loads(path.read_text())
    info["model"] = {"_target_": f"{kind.__module__}.{kind.__name__}"}
    path.write_text(json.dumps(info))


def test_a_module_is_no_estimator_and_the_other_way_round(tmp_path: Path) -> None:
    folder = bundle(tmp_path, MLP)
    swap(folder, Slopes)
    (folder / MANIFEST).unlink()
    write_manifest(folder)
    with pytest.raises(BundleError, match=r"makes no torch\.nn\.Module"):
        Predictor.load(folder, trust=TRUST)
