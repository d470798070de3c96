"""What is served: the confirmed models of a sweep, and nothing else once there is a record."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from rayml.errors import SearchError
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.results.confirmation import Confirmation, ConfirmedTrial, write_confirmation
from rayml.settings.train import TrainSettings
from rayml.stages.winners.winner import find_winner
from rayml.train.build import apply
from rayml.train.loop.results import BestEpoch
from rayml.train.seed_results import SeedResult

TRIAL: dict[str, Any] = {
    "model": {"_target_": "rayml.models.nets.mlp.MLP", "width": 16},
    "task": {"metric": None, "metrics": {}},
    "train": dataclasses.asdict(TrainSettings()),
}
PARAMS = {"model.width": 8}
CHOSEN = ConfirmedTrial(
    number=4,
    params=PARAMS,
    parameters=9,
    steps=1,
    seconds=1.0,
    values=(0.5, 0.75, 0.25),
    mean=0.5,
    low=0.25,
    high=0.75,
)
RECORD = Confirmation(
    metric="accuracy",
    direction="maximize",
    winner=4,
    reason="it is the only one",
    seeds=(1, 2, 3),
    candidates=(CHOSEN,),
    failed=(),
    seed=2,
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    files = SeedFiles(tmp_path, 4, apply(TRIAL, PARAMS))
    for seed, value in zip(RECORD.seeds, CHOSEN.values, strict=True):
        best = BestEpoch(1, value, {"accuracy": value})
        files.save(SeedResult(seed, best, {"w": torch.full((2,), float(seed))}, 9, 1, 1.0))
    return tmp_path


def test_one_model_is_that_of_the_recorded_seed(sweep: Path) -> None:
    write_confirmation(sweep, RECORD)
    winner = find_winner(sweep, TRIAL)
    assert (winner.number, winner.params) == (4, PARAMS)
    assert winner.config["model"]["width"] == 8
    assert winner.validation == {"accuracy": 0.75}
    assert [(each.seed, each.weights["w"][0].item()) for each in winner.members] == [(2, 2.0)]
    assert winner.confirmation == RECORD


def test_the_members_of_an_ensemble_come_in_the_order_of_the_record(sweep: Path) -> None:
    write_confirmation(sweep, dataclasses.replace(RECORD, ensemble=(2, 1)))
    winner = find_winner(sweep, TRIAL)
    found = [(each.seed, each.weights["w"][0].item()) for each in winner.members]
    assert found == [(2, 2.0), (1, 1.0)]
    # That of one member would be another model's.
    assert winner.validation is None


def test_weights_that_are_gone_are_told(sweep: Path) -> None:
    write_confirmation(sweep, RECORD)
    shutil.rmtree(sweep / "confirm" / "4" / "2")
    with pytest.raises(SearchError, match=r"weights of the winner.*rayml confirm"):
        find_winner(sweep, TRIAL)
