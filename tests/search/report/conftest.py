"""What the tests of a sweep's report start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rayml.models.tasks.objectives import Objective
from rayml.search.study.study import Study
from rayml.settings.search import BoundSettings
from rayml.types import PrunerSettings

from .simulated import TREE, run_trials, write_surroundings


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    """Trial 0 completes, 1 completes better, 2 is pruned, 3 fails, 4 still runs."""
    study = make_study()
    trials = study.ask(5, tune_trial="t")
    for trial, value in zip(trials, [0.5, 0.75, 0.875, 0.1, 0.6], strict=True):
        study.report(trial.number, 1, value, {"accuracy": value, "loss": 1 - value})
    study.report(1, 2, 0.5, {"accuracy": 0.5, "auroc": float("nan")})
    study.tell(0, "COMPLETE", 0.5)
    study.tell(1, "COMPLETE", 0.75)
    study.tell(2, "PRUNED", reason="rank 3 of 3")
    study.tell(3, "FAIL", reason="ValueError: no")
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
        study.report(trial.number, 1, accuracy, metrics)
        study.report(trial.number, 2, accuracy - 0.1, {**metrics, "loss": 9.0})
        study.tell(trial.number, "PRUNED" if trial.number == 4 else "COMPLETE")
    study.tell(study.ask()[0].number, "PRUNED", reason="no time")
    return study


@pytest.fixture
def sweep(make_study: Callable[..., Study], tmp_path: Path) -> Path:
    """Folder of a sweep of 64 trials that is over: finished, pruned and failed ones."""
    study = make_study(tree=TREE, pruner=PrunerSettings(name="median", min_epochs=2))
    run_trials(study, 64)
    write_surroundings(tmp_path)
    return tmp_path
