"""What is registered is calibrated on validation rows and measured once on test rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from rayml.data.fit.preprocess import Preprocessor
from rayml.models.estimators.members import Committee
from rayml.search.results.confirmation import Confirmation, ConfirmedTrial, read_confirmation
from rayml.serve.predict.answer import of_members, scalable
from rayml.settings.search import ConfirmSettings, IntervalSettings
from rayml.stages.winners.tested import Calibration
from rayml.stages.winners.tested import tested as measured
from rayml.stages.winners.winner import Winner
from rayml.tasks.table import build_task
from rayml.types import Examples, Features, SplitName, TargetInfo
from tests.stages.winners.test_intervals import Ruler, case

TRIAL = ConfirmedTrial(
    number=0, params={}, parameters=1, steps=1, seconds=1, values=(0.5,), mean=0.5, low=0, high=1
)
CONFIRMATION = Confirmation(
    metric="accuracy",
    direction="maximize",
    winner=0,
    reason="",
    seeds=(1,),
    candidates=(TRIAL,),
    failed=(),
    seed=1,
)


@dataclass
class Prepared:
    """Prepared data in memory, which note what is read."""

    preprocessor: Preprocessor
    splits: dict[SplitName, Examples]
    read: list[SplitName] = field(default_factory=list)

    def examples(self, split: SplitName) -> Examples:
        self.read.append(split)
        return self.splits[split]

    def dealt(self) -> None:
        return None


@dataclass
class Bold(Ruler):
    """Sharper than it is right."""

    times: float = 4.0

    def outputs(self, features: Features) -> torch.Tensor:
        return self.times * super().outputs(features)


def made(models: Committee, **settings: Any) -> tuple[Calibration, Prepared]:
    found = case("multiclass")
    data = Prepared(found.preprocessor, {"validation": found.validation, "test": found.test})
    winner = Winner(
        number=0,
        params={},
        config={},
        metric="accuracy",
        direction="maximize",
        members=[],
        validation=None,
        confirmation=CONFIRMATION,
    )
    task = build_task(found.preprocessor.target)
    return Calibration(winner, models, task, cast("Any", data), ConfirmSettings(**settings)), data


@pytest.mark.parametrize("members", [1, 3])
def test_metrics_are_those_of_the_scaled_probabilities(members: int, tmp_path: Path) -> None:
    models = Committee([Bold("multiclass", 0.05 * at) for at in range(members)])
    found = {each: made(models, calibrate=each)[0] for each in ("auto", "none")}
    assert found["none"].temperature == 1
    assert found["auto"].temperature > 1.5
    (tmp_path / "auto").mkdir()
    (tmp_path / "none").mkdir()
    test = {name: measured(each, tmp_path / name)[0] for name, each in found.items()}
    assert test["auto"]["accuracy"] == test["none"]["accuracy"]
    for name in ("loss", "log_loss", "calibration_error"):
        assert test["auto"][name] < test["none"][name]
    validation = {name: each.validation_metrics() for name, each in found.items()}
    assert validation["auto"]["log_loss"] < validation["none"]["log_loss"]
    assert found["auto"].calibrated_winner.temperature == found["auto"].temperature


@dataclass
class Sure:
    """A binary model whose log-odds are given."""

    odds: list[float]

    def outputs(self, features: Features) -> torch.Tensor:
        return torch.tensor(self.odds)[: len(features), None]


@pytest.mark.parametrize("members", [1, 3])
def test_a_temperature_reaches_answers_that_are_sure(members: int) -> None:
    """The endpoint scales predictions and a measurement scales log-odds: to the same."""
    info = TargetInfo(name="y", task="binary", classes=("no", "yes"))
    task, odds = build_task(info), [-34.0, -20.0, -1.0, 0.0, 1.0, 16.0, 20.0, 34.0]
    committee = Committee([Sure(odds)] * members, temperature=5.0)
    features = Features(np.zeros((len(odds), 1), np.float32), np.zeros((len(odds), 0), np.int64))
    predictions = task.predict(scalable(committee.outputs(features), 5.0))
    answered = task.tempered(predictions[0], 5.0)
    if members > 1:
        answered = of_members(predictions, task, temperature=5.0).prediction
    measured_too = task.predict(committee.pooled(task, features)).double()
    assert torch.allclose(answered, measured_too, rtol=1e-5)
    assert torch.allclose(answered, (torch.tensor(odds).double() / 5).sigmoid(), rtol=1e-5)


def test_the_test_split_is_read_once_for_one_way_to_calibrate(tmp_path: Path) -> None:
    models = Committee([Bold("multiclass")])
    calibration, data = made(models)
    first = measured(calibration, tmp_path)
    assert data.read.count("test") == 1
    stored = read_confirmation(tmp_path)
    assert stored is not None
    assert stored.regions is not None
    again, data = made(models)
    known = replace(again, winner=replace(again.winner, confirmation=stored))
    assert measured(known, tmp_path) == first
    assert "test" not in data.read
    for other in (
        ConfirmSettings(calibrate="none"),
        ConfirmSettings(intervals=IntervalSettings(rows=50)),
    ):
        changed = replace(known, settings=other)
        metrics, regions = measured(changed, tmp_path)
        assert regions is not None
        assert regions.measured != first[1].measured  # type: ignore[union-attr]
        assert (metrics["loss"] == first[0]["loss"]) is (other.calibrate == "auto")
    assert data.read.count("test") == 2


def test_nothing_is_calibrated_where_nothing_is_wanted(tmp_path: Path) -> None:
    calibration, data = made(
        Committee([Bold("multiclass")]), calibrate="none", intervals=IntervalSettings(rows=0)
    )
    metrics, regions = measured(calibration, tmp_path)
    assert regions is None
    assert np.isfinite(metrics["log_loss"] or np.nan)
    assert data.read == ["test"]
