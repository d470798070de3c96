"""Several objectives and constraints, as the study keeps them and others read them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.journal.optuna_study import create_study, read_goals
from rayml.search.problem.goals import Goals
from rayml.search.study.study import Study
from rayml.settings.search import BoundSettings, PrunerSettings, SamplerSettings
from rayml.tasks.objectives import Objective
from tests.search.plans import report, tell

MakeStudy = Callable[..., Study]
PARAMETERS = Objective("parameters", "minimize")
SMALL = {"parameters": BoundSettings(max=100.0)}
FLOATS = {
    "model": {"dropout": {"type": "float", "low": 0.0, "high": 0.5}},
    "train": {"optimizer": {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}},
}


@pytest.fixture
def front(make_study: MakeStudy) -> Study:
    """Trials 0, 1 and 5 are on the front, 2 is dominated, 3 too large, 4 pruned."""
    study = make_study(
        objectives=(PARAMETERS,),
        constraints=SMALL,
        pruner=PrunerSettings(name="asha", reduction=6),
    )
    rows = [(0.9, 90), (0.8, 50), (0.7, 60), (0.99, 130), (0.1, 10), (0.5, 10)]
    asked = study.ask(len(rows))
    for trial, (accuracy, parameters) in zip(asked, rows, strict=True):
        metrics = {"accuracy": accuracy, "parameters": parameters}
        assert report(study, trial.number, 1, accuracy / 2, metrics).action
        if trial.number == 4:
            tell(study, 4, "PRUNED", reason="rank 5 of 5")
            continue
        report(study, trial.number, 2, accuracy, metrics)
        tell(study, trial.number, "COMPLETE")
    return study


READER = """
import json, sys, warnings, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
warnings.simplefilter("error")
study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print(json.dumps({
    "names": study.metric_names,
    "directions": [each.name for each in study.directions],
    "front": [each.number for each in study.best_trials],
    "states": [each.state.name for each in study.trials],
    "values": [each.values for each in study.trials],
    "constraints": [list(each.constraints.values()) for each in study.trials],
    "curve": study.trials[4].intermediate_values,
}))
"""


@pytest.mark.usefixtures("front")
def test_a_plain_reader_sees_the_front_the_constraints_and_the_curves(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "journal.log")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {
        "names": ["accuracy", "parameters"],
        "directions": ["MAXIMIZE", "MINIMIZE"],
        "front": [0, 1, 5],
        "states": ["COMPLETE"] * 4 + ["PRUNED", "COMPLETE"],
        "values": [[0.9, 90], [0.8, 50], [0.7, 60], [0.99, 130], None, [0.5, 10]],
        "constraints": [[-10.0], [-50.0], [-40.0], [30.0], [-90.0], [-90.0]],
        "curve": {"1": 0.05},
    }


def test_the_best_is_that_of_the_front_which_keeps_the_constraints(front: Study) -> None:
    best = front.snapshot().best
    assert best is not None
    assert (best.number, best.value, best.violation) == (0, 0.9, 0.0)
    assert best.values == {"accuracy": 0.9, "parameters": 90}


def test_a_violation_is_told(front: Study) -> None:
    assert [trial.violation for trial in front.snapshot().finished] == [0, 0, 0, 30, 0, 0]


@pytest.mark.usefixtures("front")
def test_goals_are_read_back(tmp_path: Path) -> None:
    goals = read_goals(read_study(tmp_path / "journal.log"))
    assert goals.objectives == (Objective("accuracy", "maximize"), PARAMETERS)
    assert goals.constraints == SMALL


def test_the_goals_of_one_objective_are_read_back(make_study: MakeStudy, tmp_path: Path) -> None:
    make_study(metric="rmse", direction="minimize")
    study = read_study(tmp_path / "journal.log")
    assert read_goals(study).objectives == (Objective("rmse", "minimize"),)
    assert study.metric_names is None


def test_a_study_goes_on_with_the_goals_it_had() -> None:
    storage = optuna.storages.InMemoryStorage()
    first = Objective("accuracy", "maximize")
    goals = Goals((first, PARAMETERS), SMALL)
    made = create_study("s", storage, goals)
    made.add_trial(optuna.trial.create_trial(values=[0.5, 3.0]))
    assert len(create_study("s", storage, goals, resume=True).trials) == 1
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        create_study("s", storage, goals)
    others = [
        Goals((first,), SMALL),
        Goals((PARAMETERS, first), SMALL),
        Goals((first, PARAMETERS), {"parameters": BoundSettings(max=99.0)}),
    ]
    for other in others:
        with pytest.raises(SearchError, match="the sweep seeks"):
            create_study("s", storage, other, resume=True)


def test_trials_are_pruned_on_the_first_objective(make_study: MakeStudy) -> None:
    study = make_study(objectives=(PARAMETERS,), pruner=PrunerSettings(name="asha", reduction=2))
    good, bad = study.ask(2)
    assert report(study, good.number, 1, 0.9, {"parameters": 99}).action == "keep"
    assert report(study, bad.number, 1, 0.1, {"parameters": 1}).action == "prune"


def test_a_value_follows_from_the_curve(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    [asked] = study.ask()
    for step, value in enumerate([0.5, 0.75, 0.25], start=1):
        report(study, asked.number, step, value, {})
    assert tell(study, asked.number, "COMPLETE").value == 0.75
    assert read_study(tmp_path / "journal.log").trials[0].value == 0.75


def test_seconds_of_training_are_those_up_to_the_best_epoch(make_study: MakeStudy) -> None:
    study = make_study(objectives=(Objective("train_seconds", "minimize"),))
    [asked] = study.ask()
    for step, value in enumerate([0.5, 0.75, 0.25], start=1):
        report(study, asked.number, step, value, {}, train_seconds=2.0)
        report(study, asked.number, step, value, {}, train_seconds=2.0)
    assert tell(study, asked.number, "COMPLETE").values["train_seconds"] == 4.0


@pytest.mark.parametrize("metrics", [{}, {"parameters": float("nan")}])
@pytest.mark.parametrize("changes", [{"objectives": (PARAMETERS,)}, {"constraints": SMALL}])
def test_a_trial_whose_goals_are_undefined_fails(
    metrics: dict[str, float], changes: dict[str, Any], make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(**changes)
    [asked] = study.ask()
    report(study, asked.number, 1, 0.5, metrics)
    assert tell(study, asked.number, "COMPLETE").state == "FAIL"
    [trial] = read_study(tmp_path / "journal.log").trials
    assert trial.state == TrialState.FAIL
    assert "parameters is " in trial.user_attrs["reason"]


def test_a_trial_without_an_epoch_is_not_complete(make_study: MakeStudy) -> None:
    study = make_study(objectives=(PARAMETERS,), constraints=SMALL)
    first, second = study.ask(2)
    assert tell(study, first.number, "COMPLETE").reason == "accuracy is None at its end"
    assert tell(study, second.number, "PRUNED", reason="x").value is None
    with pytest.raises(SearchError, match="no trial 7 was asked"):
        tell(study, 7, "COMPLETE")


def test_a_stopped_trial_of_an_undefined_quantity_is_far_from_feasible(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study(constraints={"auroc": BoundSettings(min=0.5), **SMALL})
    [asked] = study.ask()
    report(study, asked.number, 1, 0.5, {"auroc": float("nan"), "parameters": 30})
    assert tell(study, asked.number, "PRUNED", reason="x").violation == float("inf")
    assert list(read_study(tmp_path / "journal.log").trials[0].constraints.values()) == [
        sys.float_info.max,
        -70.0,
    ]
    assert "Infinity" not in (tmp_path / "journal.log").read_text()


@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp", "random", "qmc"])
@pytest.mark.filterwarnings("ignore::UserWarning:optuna")
def test_samplers_search_several_objectives_with_pruned_and_infeasible_trials(
    name: str, make_study: MakeStudy, tmp_path: Path
) -> None:
    options = {"population_size": 4} if name == "nsga2" else {}
    study = make_study(
        tree=FLOATS,
        objectives=(PARAMETERS,),
        constraints=SMALL,
        sampler=SamplerSettings(name=name, startup_trials=4, options=options),  # type: ignore[arg-type]
    )
    for turn in range(4):
        for trial in study.ask(4):
            size = 1000 * float(trial.params["model.dropout"])  # type: ignore[arg-type]
            report(study, trial.number, 1, 0.5, {"parameters": size})
            pruned = (trial.number + turn) % 4 == 0
            tell(study, trial.number, "PRUNED" if pruned else "COMPLETE", reason="x" * pruned)
    trials = read_study(tmp_path / "journal.log").trials
    assert sum(trial.state == TrialState.PRUNED for trial in trials) == 4
    assert all(len(trial.constraints) == 1 for trial in trials)


def test_tpe_learns_from_a_constraint(make_study: MakeStudy, tmp_path: Path) -> None:
    """Values are the better the further beyond the bound, so nothing else holds trials back."""

    def search(name: str, bounds: dict[str, BoundSettings]) -> tuple[float, float]:
        study = make_study(
            tree=FLOATS,
            journal=tmp_path / name,
            constraints=bounds,
            sampler=SamplerSettings(name="tpe", startup_trials=8),
            trials=48,
        )
        sizes = []
        while asked := study.ask():
            sizes.append(float(asked[0].params["model.dropout"]))  # type: ignore[arg-type]
            report(study, asked[0].number, 1, sizes[-1], {"size": sizes[-1]})
            tell(study, asked[0].number, "COMPLETE")
        best = study.snapshot().best
        assert best is not None
        assert best.value is not None
        return best.value, sum(sizes[24:]) / 24

    best, later = search("free", {})
    assert best > 0.45
    assert later > 0.4
    best, later = search("bound", {"size": BoundSettings(max=0.25)})
    assert 0.2 < best <= 0.25
    assert later < 0.35


def test_optuna_alone_has_no_direction_for_several_objectives() -> None:
    """What `FirstObjectiveStudy` is there for; once this fails it can go."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(RuntimeError, match="single direction"):
        _ = study.direction
    with pytest.raises(NotImplementedError):
        study.ask().report(1.0, 1)
