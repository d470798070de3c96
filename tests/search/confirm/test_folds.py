"""A confirmation with folds: how many seeds, what a trial's values are, and rows out of fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayml.search.cohort.worker import write_weights
from rayml.search.confirm.as_trained import as_trained
from rayml.search.confirm.library import outputs_by_fold
from rayml.search.confirm.seed_files import SeedFiles
from rayml.search.confirm.seed_training import ConfirmPlan
from rayml.search.problem.goals import Goals
from rayml.search.results.candidates import seeds_trained
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.tasks.objectives import Objective
from rayml.train.folds.parts import fold_metric, joined, parted
from rayml.types import Features


@pytest.mark.parametrize(
    ("seeds", "folds", "trained"), [(5, 1, 5), (5, 5, 1), (5, 3, 2), (3, 10, 1), (10, 5, 2)]
)
def test_seeds_and_folds_are_about_as_many_models_as_seeds_alone(
    seeds: int, folds: int, trained: int
) -> None:
    assert seeds_trained(seeds, folds) == trained


def test_a_model_taken_as_it_was_trained_has_the_values_of_its_folds(tmp_path: Path) -> None:
    values = (0.7, 0.9, 0.8)
    metrics = {fold_metric("accuracy", fold): value for fold, value in enumerate(values)}
    curve: Any = {1: (0.8, {"accuracy": 0.8, **metrics})}
    row = TrialRow(4, "COMPLETE", 0.8, 1, 3, {}, "", "", None, None, curve)
    board = Leaderboard(Goals((Objective("accuracy", "maximize"),)), [row])
    config = {"model": {"_target_": "m"}, "task": {}, "train": {"seed": 3}}
    weights = joined([{"a": torch.full((2,), float(fold))} for fold in range(3)])
    write_weights(weights, tmp_path / "trials" / "4")
    found = as_trained(ConfirmPlan(sweep=tmp_path, trial=config), board)
    assert found is not None
    assert found.folds == 3
    assert found.chosen.folds == (values,)
    assert found.chosen.values == (0.8,)
    assert 0.7 <= found.chosen.low < 0.8 < found.chosen.high <= 0.9
    kept = parted(SeedFiles(tmp_path, 4, config).load(3).weights)
    assert [each["a"].tolist() for each in kept] == [[0, 0], [1, 1], [2, 2]]


class Constant:
    def __init__(self, value: float) -> None:
        self.value = value

    def outputs(self, features: Features) -> torch.Tensor:
        return torch.from_numpy(features.numeric[:, :1] + self.value)

    single = outputs


def test_each_row_is_predicted_by_the_model_of_its_fold() -> None:
    features = Features(np.arange(6, dtype=np.float32)[:, None], np.zeros((6, 0), np.int64))
    models = [Constant(100), Constant(200), Constant(300)]
    held = np.array([2, 0, 1, 1, 0, 2], np.int16)
    found = outputs_by_fold(models, features, held)
    assert found[:, 0].tolist() == [300, 101, 202, 203, 104, 305]
    # A draw of rows may have none of a fold.
    assert outputs_by_fold(models, features, np.minimum(held, 1))[0, 0] == 200
    assert outputs_by_fold(models[:1], features, None)[:, 0].tolist() == [100 + i for i in range(6)]
