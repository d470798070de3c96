"""An ensemble answers with the mean of its members' own predictions, and with their spread."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch import nn

from rayml.config.components.trust import Trust
from rayml.errors import BundleError
from rayml.registry.bundle.bundle import load_bundle, write_bundle
from rayml.registry.bundle.group import GroupState
from rayml.serve.predict.answer import Answers, of_members
from rayml.serve.predict.predictor import Predictor
from rayml.tasks.table import build_task
from rayml.types import FeatureShape, TargetInfo


@pytest.fixture
def members(ensemble: Predictor, tmp_path: Path) -> Sequence[Predictor]:
    """Each member of the ensemble as a bundle of its own."""
    bundle = ensemble.bundle
    weights = bundle.groups[0].weights()
    folders = [
        write_bundle(
            tmp_path / str(index),
            info=dataclasses.replace(bundle.info, ensemble=None),
            signature=bundle.signature,
            lineage=bundle.lineage,
            preprocessor=bundle.preprocessor(),
            groups=[GroupState({name: each[index] for name, each in weights.items()})],
        )
        for index in range(3)
    ]
    return [Predictor.load(folder) for folder in folders]


def raw(predictor: Predictor, table: pa.Table) -> pa.Table:
    return table.select([column.name for column in predictor.signature.inputs])


def test_outputs_are_the_mean_of_the_members(
    ensemble: Predictor, members: Sequence[Predictor], table: pa.Table
) -> None:
    features = ensemble.features(raw(ensemble, table))
    alone = torch.stack([each.outputs(features) for each in members])
    torch.testing.assert_close(ensemble.outputs(features), alone.mean(0), rtol=1e-5, atol=1e-6)


def test_answers_are_those_of_single_models_and_a_spread(
    ensemble: Predictor, members: Sequence[Predictor], table: pa.Table
) -> None:
    rows = raw(ensemble, table)
    own = [each.predict(rows) for each in members]
    for row, answer in enumerate(ensemble.predict(rows)):
        singles = [answers[row] for answers in own]
        assert list(answer) == [*singles[0], "spread"]
        if "value" in answer:
            seen = [single["value"] for single in singles]
            assert answer["value"] == pytest.approx(sum(seen) / 3, rel=1e-5)
        else:
            key = json.dumps(answer["label"]) if answer["label"] is True else answer["label"]
            seen = [single["probabilities"][key] for single in singles]
            assert answer["probability"] == pytest.approx(sum(seen) / 3, rel=1e-5)
            assert answer["probability"] == max(answer["probabilities"].values())
            assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        spread = torch.tensor(seen, dtype=torch.float64).std().item()
        assert answer["spread"] == pytest.approx(spread, rel=1e-3, abs=1e-6)


def test_a_row_does_not_depend_on_its_batch(ensemble: Predictor, table: pa.Table) -> None:
    rows = raw(ensemble, table).slice(0, 6)
    together = ensemble.predict(rows)
    for index, answer in enumerate(together):
        (alone,) = ensemble.predict(rows.slice(index, 1))
        assert alone["spread"] == pytest.approx(answer["spread"], rel=1e-3, abs=1e-6)


def test_members_that_agree_have_no_spread() -> None:
    task = build_task(TargetInfo("y", "multiclass", ("a", "b", "c")))
    alike = torch.tensor([[0.2, 0.5, 0.3]]).expand(4, 1, 3)
    [answer] = Answers(task)(of_members(alike, task))
    assert (answer["label"], answer["spread"]) == ("b", pytest.approx(0, abs=1e-7))


def test_the_spread_is_that_of_the_answered_class() -> None:
    task = build_task(TargetInfo("y", "multiclass", ("a", "b", "c")))
    members = torch.tensor([[[0.1, 0.8, 0.1]], [[0.1, 0.4, 0.5]]])
    [answer] = Answers(task)(of_members(members, task))
    assert answer["label"] == "b"
    assert answer["spread"] == pytest.approx(0.4 / 2**0.5)
    task = build_task(TargetInfo("y", "regression"))
    [value] = Answers(task)(of_members(torch.tensor([[1.0], [3.0]]), task))
    assert value == {"value": 2.0, "spread": pytest.approx(2**0.5)}


class Deciding(nn.Module):
    """Cannot be mapped over members: it looks at a value."""

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(shape.numeric, outputs)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(numeric)
        return result if bool(self.layer.bias[0] > 0) else result * 2


def test_a_module_that_cannot_be_mapped_answers_all_the_same(
    table: pa.Table,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from rayml.testing.bundles import untrained_bundle

    model = {"_target_": f"{Deciding.__module__}.Deciding"}
    inputs = table.select(["size", "colour", "label"])
    folder = untrained_bundle(
        tmp_path / "b", inputs, target="label", task="binary", model=model, ensemble=2
    )
    with caplog.at_level(logging.WARNING):
        predictor = Predictor.load(folder, trust=Trust(modules=(Deciding.__module__,)))
    [record] = caplog.records
    assert "Deciding run one by one" in record.getMessage()
    answers = predictor.predict(raw(predictor, inputs))
    assert all(answer["spread"] >= 0 for answer in answers)
    assert any(answer["spread"] > 0 for answer in answers)


def test_weights_of_another_model_are_refused(ensemble: Predictor, tmp_path: Path) -> None:
    bundle = load_bundle(ensemble.bundle.folder)
    folder = write_bundle(
        tmp_path / "wider",
        info=dataclasses.replace(bundle.info, model={**bundle.info.model.plain(), "width": 99}),
        signature=bundle.signature,
        lineage=bundle.lineage,
        preprocessor=bundle.preprocessor(),
        groups=[GroupState(bundle.groups[0].weights())],
    )
    with pytest.raises(BundleError, match="weights"):
        Predictor.load(folder)
