"""A deterministic sweep gives the same trials, however long anything takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from safetensors.numpy import load_file

from rayml.search.journal.journal import read_study
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.sweep import run_sweep
from rayml.settings.search import PrunerSettings, SamplerSettings
from rayml.tasks.objectives import TRAIN_SECONDS
from tests.integration.test_sweep import (
    DATA,
    LR,
    Watcher,
    make_plan,  # noqa: F401 - a fixture
)
from tests.processes import command, descendants, kill
from tests.search.plans import changed

pytestmark = pytest.mark.usefixtures("ray_session")
MakePlan = Callable[..., SweepPlan]

TREE = {
    "model": {
        "width": {"type": "categorical", "choices": [4, 8]},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    },
    "train": {"optimizer": {"lr": LR}},
}


def sweep(make: MakePlan, name: str, *, delay: float, **changes: Any) -> SweepPlan:
    model = {
        "_target_": "tests.integration.slow_model.Slow", "width": 4, "dropout": 0.0,
        "delay": delay, "alone": changes.pop("alone", False),
    }  # fmt: skip
    given: dict[str, Any] = {
        "name": name, "tree": TREE, "trials": 16, "epochs": 3, "deterministic": True,
        "concurrency": 2, "sampler": SamplerSettings(name="tpe", startup_trials=4),
        "pruner": PrunerSettings(name="asha", reduction=2),
    }  # fmt: skip
    budget = changes.pop("epochs_budget", None)
    plan = make(**(given | changes))
    return changed(plan, epochs=budget, trial={**plan.trial, "model": model})


def outcome(folder: Path) -> list[dict[str, Any]]:
    """Everything of the trials that is no time and no name of a process."""

    def known(trial: FrozenTrial) -> dict[str, Any]:
        metrics = {
            key: {name: value for name, value in found.items() if name != TRAIN_SECONDS}
            for key, found in trial.system_attrs.items()
            if key.startswith("epoch:")
        }
        return {
            "number": trial.number,
            "state": trial.state.name,
            "params": trial.params,
            "values": trial.values,
            "curve": trial.intermediate_values,
            "metrics": metrics,
            "cohort": trial.system_attrs["cohort"],
            "reason": trial.user_attrs.get("reason"),
        }

    return [known(trial) for trial in read_study(folder / "journal.log").trials]


def assert_same(one: Path, other: Path) -> list[dict[str, Any]]:
    found = outcome(one)
    assert found == outcome(other)
    for path in sorted((one / "trials").glob("*/best.safetensors")):
        theirs = load_file(other / path.relative_to(one))
        for name, tensor in load_file(path).items():
            assert tensor.tobytes() == theirs[name].tobytes()
    return found


def test_delays_change_nothing(make_plan: MakePlan) -> None:  # noqa: F811
    plans = [sweep(make_plan, f"s{i}", delay=delay) for i, delay in enumerate((0.0, 0.01))]
    for plan in plans:
        run_sweep(plan, DATA)
    found = assert_same(*(plan.folder for plan in plans))
    assert len(found) == 16
    assert {each["state"] for each in found} == {"COMPLETE", "PRUNED"}
    cohorts = [each["cohort"] for each in found]
    assert len(set(cohorts)) > 2
    assert max(map(cohorts.count, cohorts)) > 1


@pytest.mark.slow
def test_trials_that_train_alone_take_turns_too(make_plan: MakePlan) -> None:  # noqa: F811
    plans = [
        sweep(make_plan, f"s{i}", delay=delay, alone=True, trials=8)
        for i, delay in enumerate((0.0, 0.01))
    ]
    for plan in plans:
        notes = run_sweep(plan, DATA).progress.notes
        assert any(note.startswith("trials train alone: ") for note in notes)
    assert len(assert_same(*(plan.folder for plan in plans))) == 8


@pytest.mark.slow
def test_the_budget_of_epochs_ends_at_the_same_one(make_plan: MakePlan) -> None:  # noqa: F811
    plans = [
        sweep(make_plan, f"s{i}", delay=delay, epochs_budget=20)
        for i, delay in enumerate((0.0, 0.01))
    ]
    for plan in plans:
        run_sweep(plan, DATA)
    found = assert_same(*(plan.folder for plan in plans))
    assert any(each["reason"] == "the budget of 20 epochs is spent" for each in found)


@pytest.mark.slow
def test_a_worker_that_dies_holds_no_one_up(make_plan: MakePlan) -> None:  # noqa: F811
    for failures, states in ((1, {"COMPLETE"}), (0, {"COMPLETE", "FAIL"})):
        plan = sweep(
            make_plan, f"s{failures}", delay=0.02, trials=6, epochs=12, lanes=1,
            max_failures=failures, pruner=PrunerSettings(name="none"),
        )  # fmt: skip
        run_sweep(plan, DATA, view=Watcher(6, kill_one))
        found = outcome(plan.folder)
        assert len(found) == 6
        assert {each["state"] for each in found} == states


def kill_one() -> None:
    """SIGKILL one of the processes that train a cohort."""
    workers = [pid for pid in descendants(os.getpid()) if b"ImplicitFunc" in command(pid)]
    kill(workers[:1])
