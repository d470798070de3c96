"""What several tests of the search start from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from rayml.search.problem.space import Space
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.study.study import Study
from rayml.types import PrunerSettings, SamplerSettings, TrainSettings

TREE = {
    "model": {"width": {"type": "int", "low": 16, "high": 64, "step": 16}},
    "train": {"optimizer": {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}},
}


@pytest.fixture(autouse=True)
def _quiet_optuna() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


@pytest.fixture
def config() -> dict[str, Any]:
    """The plain config of a trial."""
    return {
        "model": {"_target_": "rayml.models.nets.mlp.MLP", "width": 32, "depth": 2, "dropout": 0.1},
        "task": {"name": "binary", "metric": None, "metrics": {}},
        "train": dataclasses.asdict(TrainSettings(epochs=9)),
    }


@pytest.fixture
def make_study(tmp_path: Path, config: dict[str, Any]) -> Iterator[Callable[..., Study]]:
    """Makes studies that maximise accuracy with random trials and no pruning."""
    made: list[Study] = []

    def make(**changes: Any) -> Study:
        plan: dict[str, Any] = {
            "name": "s",
            "journal": tmp_path / "journal.log",
            "space": Space.parse(changes.pop("tree", TREE)),
            "config": config,
            "metric": "accuracy",
            "direction": "maximize",
            "trials": 100,
            "max_epochs": 9,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
            "started": time.time(),
        }
        made.append(Study(StudyPlan(**(plan | changes))))
        return made[-1]

    yield make
    for study in made:
        study.close()
