"""An ensemble of several structures answers with the mean of its members by their votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import Trust
from rayml.errors import BundleError
from rayml.models.ensemble import stack_weights
from rayml.registry.bundle.bundle import load_bundle, write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.registry.bundle.info import GroupInfo
from rayml.registry.bundle.manifest import FORMAT_OF_GROUPS, write_manifest
from rayml.serve.predict.explainer import Explainer
from rayml.serve.predict.predictor import Predictor
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task, outputs_of
from rayml.testing.bundles import untrained_bundle
from rayml.types import Examples, TaskName
from tests.serve.conftest import TARGETS
from tests.toy_estimators import Centroids

TRUST = Trust(modules=("tests.toy_estimators",))
SMALL = {"_target_": "rayml.models.nets.mlp.MLP", "width": 16, "depth": 2}
DEEP = {"_target_": "rayml.models.nets.resnet.TabularResNet", "width": 8, "depth": 1}
CENTROIDS = {"_target_": "tests.toy_estimators.Centroids"}
VOTES = (2, 1, 3)


def write_mixed(
    folder: Path, table: pa.Table, task: TaskName, *, groups: Sequence[GroupInfo], **changes: Any
) -> tuple[Path, list[Predictor]]:
    """Write an ensemble of two networks of one structure, another network, and an estimator.

    Returns:
        Its folder, and the members as bundles of their own in the order of the groups.
    """
    inputs = table.select([*table.column_names[:5], TARGETS[task]])
    pair = untrained_bundle(
        folder / "pair", inputs, target=TARGETS[task], task=task, model=SMALL, ensemble=2
    )
    other = untrained_bundle(folder / "other", inputs, target=TARGETS[task], task=task, model=DEEP)
    opened = load_bundle(pair)
    fitted = opened.preprocessor()
    parts = {"signature": opened.signature, "lineage": opened.lineage, "preprocessor": fitted}
    states = [opened.groups[0].weights(), stack_weights([load_bundle(other).groups[0].weights()])]
    alone = [
        ({name: each[0] for name, each in states[0].items()}, SMALL),
        ({name: each[1] for name, each in states[0].items()}, SMALL),
        ({name: each[0] for name, each in states[1].items()}, DEEP),
    ]
    members = [
        write_bundle(
            folder / str(at),
            info=replace(opened.info, ensemble=None, model=StoredNode.of(node)),
            groups=[GroupState(weights)],
            **parts,
        )
        for at, (weights, node) in enumerate(alone)
    ]
    found = [GroupState(states[0]), GroupState(states[1])]
    if task == "binary":
        files = _centroids(fitted, inputs)
        info = replace(opened.info, ensemble=None, model=StoredNode.of(CENTROIDS))
        state = GroupState(files=[files])
        members.append(write_bundle(folder / "3", info=info, groups=[state], **parts))
        found.append(state)
    whole = write_bundle(
        folder / "mixed",
        info=replace(
            opened.info,
            ensemble=sum(len(each.votes) for each in groups),
            groups=tuple(groups),
            **changes,
        ),
        groups=found,
        **parts,
    )
    return whole, [Predictor.load(each, trust=TRUST) for each in members]


def _centroids(fitted: Any, inputs: pa.Table) -> dict[str, bytes]:
    rows = Examples(fitted.transform_batch(inputs), fitted.encode_target(inputs["label"]))
    estimator = Centroids(fitted.shape, outputs_of(fitted.target))
    list(
        estimator.fit(rows, rows, task=build_task(fitted.target), settings=TrainSettings(epochs=1))
    )
    return dict(estimator.save())


def groups_of(task: TaskName) -> list[GroupInfo]:
    found = [
        GroupInfo(model=StoredNode.of(SMALL), votes=VOTES[:2]),
        GroupInfo(model=StoredNode.of(DEEP), votes=VOTES[2:]),
    ]
    if task == "binary":
        found.append(GroupInfo(model=StoredNode.of(CENTROIDS), votes=(1,)))
    return found


def votes_of(task: TaskName) -> torch.Tensor:
    return torch.tensor([*VOTES, 1] if task == "binary" else VOTES)


def raw(predictor: Predictor, table: pa.Table) -> pa.Table:
    return table.select([column.name for column in predictor.signature.inputs])


@pytest.mark.parametrize("task", TARGETS)
def test_the_mean_is_by_votes(table: pa.Table, tmp_path: Path, task: TaskName) -> None:
    folder, members = write_mixed(tmp_path, table, task, groups=groups_of(task))
    mixed = Predictor.load(folder, trust=TRUST)
    assert mixed.bundle.manifest.format == FORMAT_OF_GROUPS
    features = mixed.features(raw(mixed, table))
    each = torch.stack([member.outputs(features) for member in members])
    counted = each.repeat_interleave(votes_of(task), 0)
    estimate = mixed.estimate(features)
    torch.testing.assert_close(estimate.prediction, counted.mean(0), rtol=1e-5, atol=1e-6)
    assert estimate.spread is not None
    spread = mixed.task.spread(counted, counted.mean(0))
    torch.testing.assert_close(estimate.spread, spread, rtol=1e-4, atol=1e-6)
    answers = mixed.predict(raw(mixed, table).slice(0, 3))
    assert all("spread" in answer for answer in answers)


def test_rows_have_the_same_bits_in_every_batch(table: pa.Table, tmp_path: Path) -> None:
    folder, _ = write_mixed(tmp_path, table, "regression", groups=groups_of("regression"))
    mixed = Predictor.load(folder, trust=TRUST, batch_invariant=True)
    features = mixed.features(raw(mixed, table))
    together = mixed.estimate(features)
    for at in (0, 7, 59):
        one = mixed.estimate(mixed.features(raw(mixed, table).slice(at, 1)))
        assert torch.equal(one.prediction[0], together.prediction[at])


def test_explanations_add_up_to_the_mean_by_votes(table: pa.Table, tmp_path: Path) -> None:
    folder, _ = write_mixed(tmp_path, table, "regression", groups=groups_of("regression"))
    mixed = Predictor.load(folder, trust=TRUST)
    explainer = Explainer(mixed, tolerance=1e-3, max_steps=2000)
    rows = raw(mixed, table).slice(0, 4)
    predicted = mixed.estimate(mixed.features(rows)).prediction.tolist()
    for found, value in zip(explainer.explain(rows), predicted, strict=True):
        assert found["prediction"] == pytest.approx(value, rel=1e-5)
        moved = found["prediction"] - found["baseline"]
        assert sum(found["attributions"].values()) == pytest.approx(
            moved, abs=2 * found["tolerance"] + 1e-6
        )


def test_the_card_names_the_structures(table: pa.Table, tmp_path: Path) -> None:
    folder, _ = write_mixed(tmp_path, table, "binary", groups=groups_of("binary"))
    card = (folder / "MODEL_CARD.md").read_text()
    assert "2 models `rayml.models.nets.mlp.MLP`" in card
    assert "1 models `tests.toy_estimators.Centroids`" in card


def changed(folder: Path, change: Any) -> Path:
    """A bundle whose description was changed by somebody who can write a manifest."""
    path = folder / "bundle.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    (folder / "manifest.json").unlink()
    write_manifest(folder, FORMAT_OF_GROUPS)
    return folder


def _fewer_members(found: dict[str, Any]) -> None:
    found["groups"][0]["votes"] = [1]
    found["ensemble"] -= 1


def _more_members(found: dict[str, Any]) -> None:
    found["groups"][2]["votes"] = [1, 1]
    found["ensemble"] += 1


def _another_count(found: dict[str, Any]) -> None:
    found["ensemble"] = 2


def _many_votes(found: dict[str, Any]) -> None:
    found["groups"][0]["votes"] = [1000, 1000]


def _no_vote(found: dict[str, Any]) -> None:
    found["groups"][0]["votes"] = [0, 1]


def _wider(found: dict[str, Any]) -> None:
    found["groups"][1]["model"]["width"] = 4096


def _foreign(found: dict[str, Any]) -> None:
    found["groups"][1]["model"] = {"_target_": "os.system", "command": "true"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_fewer_members, "no first dimension of 1 members"),
        (_more_members, "holds the files of 1 members"),
        (_another_count, "its groups have 4 members"),
        (_many_votes, "more than 1000 votes"),
        (_no_vote, "greater than or equal to 1"),
        (_wider, r"groups/1/weights\.safetensors does not fit"),
        (_foreign, r"os\.system"),
    ],
)
def test_what_does_not_fit_is_refused(
    table: pa.Table, tmp_path: Path, change: Any, words: str
) -> None:
    folder, _ = write_mixed(tmp_path, table, "binary", groups=groups_of("binary"))
    with pytest.raises(BundleError, match=words):
        Predictor.load(changed(folder, change), trust=TRUST)
