"""What several tests of the search start from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import BoundSettings, PrunerSettings, SamplerSettings
from rayml.settings.train import TrainSettings
from rayml.tasks.objectives import Objective
from tests.search import simulated_sweeps as simulated
from tests.search.plans import report, study_plan, tell

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
            "trial": config,
            "metric": "accuracy",
            "direction": "maximize",
            "trials": 100,
            "max_epochs": 9,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
            "started": time.time(),
        }
        made.append(Study(study_plan(**(plan | changes))))
        return made[-1]

    yield make
    for study in made:
        study.close()


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    """Trial 0 completes, 1 completes better, 2 is pruned, 3 fails, 4 still runs."""
    study = make_study()
    trials = study.ask(5, tune_trial="t")
    for trial, value in zip(trials, [0.5, 0.75, 0.875, 0.1, 0.6], strict=True):
        report(study, trial.number, 1, value, {"accuracy": value, "loss": 1 - value})
    report(study, 1, 2, 0.5, {"accuracy": 0.5, "auroc": float("nan")})
    tell(study, 0, "COMPLETE", 0.5)
    tell(study, 1, "COMPLETE", 0.75)
    tell(study, 2, "PRUNED", reason="rank 3 of 3")
    tell(study, 3, "FAIL", reason="ValueError: no")
    return study


@pytest.fixture
def goals(make_study: Callable[..., Study]) -> Study:
    """Trial 0 is dominated, 1 and 2 are the front, 3 breaks a constraint, 4 too and is pruned."""
    study = make_study(
        objectives=(Objective("parameters", "minimize"),),
        constraints={"loss": BoundSettings(max=0.5)},
    )
    rows = [(0.7, 90, 0.4), (0.8, 80, 0.4), (0.6, 10, 0.5), (0.9, 50, 0.6), (0.95, 5, 0.55)]
    for trial, (accuracy, parameters, loss) in zip(study.ask(5), rows, strict=True):
        metrics = {"accuracy": accuracy, "parameters": parameters, "loss": loss}
        report(study, trial.number, 1, accuracy, metrics)
        report(study, trial.number, 2, accuracy - 0.1, {**metrics, "loss": 9.0})
        tell(study, trial.number, "PRUNED" if trial.number == 4 else "COMPLETE")
    tell(study, study.ask()[0].number, "PRUNED", reason="no time")
    return study


@pytest.fixture
def sweep(make_study: Callable[..., Study], tmp_path: Path) -> Path:
    """Folder of a sweep of 64 trials that is over: finished, pruned and failed ones."""
    study = make_study(tree=simulated.TREE, pruner=PrunerSettings(name="median", min_epochs=2))
    simulated.run_trials(study, 64)
    simulated.write_surroundings(tmp_path)
    return tmp_path
