"""Populations: lanes that copy one another, recorded, and the same after a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from safetensors.numpy import load_file

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.results.leaderboard import read_leaderboard, schedule_of
from rayml.search.sweep import run_sweep
from rayml.settings.search import PopulationSettings
from tests.integration.test_sweep import (
    DATA,
    LR,
    Watcher,
    kill_worker,
    make_plan,  # noqa: F401 - a fixture
)
from tests.search.plans import changed

pytestmark = pytest.mark.usefixtures("ray_session")
MakePlan = Callable[..., SweepPlan]

TREE = {
    "model": {"dropout": {"type": "float", "low": 0.0, "high": 0.5}},
    "train": {
        "optimizer": {"lr": LR},
        "label_smoothing": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
        "seed": {"type": "int", "low": 0, "high": 99},
    },
}
EPOCHS = 6


def population(make: MakePlan, name: str, **changes: Any) -> SweepPlan:
    given: dict[str, Any] = {
        "name": name, "tree": TREE, "trials": 8, "epochs": EPOCHS, "lanes": 8, "concurrency": 1,
        "population": PopulationSettings(quantile=0.25),
    }  # fmt: skip
    return make(**(given | changes))


def trials(plan: SweepPlan) -> list[FrozenTrial]:
    return read_study(plan.folder / "journal.log").trials


def test_a_population_records_who_copied_whom(make_plan: MakePlan) -> None:  # noqa: F811
    plan = population(make_plan, "one", trials=11)
    result = run_sweep(plan, DATA)
    found = trials(plan)
    assert {trial.state.name for trial in found} == {"COMPLETE"}
    # All begin together, and none joins later.
    assert [trial.system_attrs["cohort"] for trial in found] == [0] * 8 + [1] * 3
    assert any("lineage" in trial.system_attrs for trial in found)
    for trial in found:
        assert sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1))
        for descent in trial.system_attrs.get("lineage", []):
            source, epoch = found[descent["from"]], descent["epoch"]
            assert source.system_attrs["cohort"] == trial.system_attrs["cohort"]
            assert epoch < EPOCHS
            assert source.intermediate_values[epoch] > trial.intermediate_values[epoch]
            assert plan.space.contains(descent["params"], plan.trial)
            assert descent["params"]["train.seed"] == trial.params["train.seed"]
    board = read_leaderboard(plan.folder)
    stretches = schedule_of(board, board.rows[0])
    assert stretches[-1].params == board.rows[0].ancestry.params_in(result.best.epoch)
    assert [each.first for each in stretches[1:]] == [each.last + 1 for each in stretches[:-1]]
    assert stretches[-1].last == result.best.epoch


@pytest.mark.slow
def test_a_population_goes_on_from_its_checkpoint(make_plan: MakePlan) -> None:  # noqa: F811
    calm, killed = (population(make_plan, name, epochs=60) for name in ("calm", "killed"))
    run_sweep(calm, DATA)
    result = run_sweep(killed, DATA, view=Watcher(8 * 20, kill_worker))
    assert result.progress.restarts == 8
    for one, other in zip(trials(calm), trials(killed), strict=True):
        assert one.params == other.params
        assert one.intermediate_values == other.intermediate_values
        assert one.values == other.values
        assert one.system_attrs.get("lineage") == other.system_attrs.get("lineage")
        weights = [
            load_file(plan.folder / "trials" / str(one.number) / "best.safetensors")
            for plan in (calm, killed)
        ]
        for name, each in weights[0].items():
            assert each.tobytes() == weights[1][name].tobytes()


def test_trials_that_cannot_be_lanes_are_no_population(
    make_plan: MakePlan,  # noqa: F811
) -> None:
    plan = population(make_plan, "alone", trials=2)
    model = {"_target_": "tests.integration.slow_model.Slow", "width": 4, "dropout": 0.1}
    plan = changed(plan, trial={**plan.trial, "model": {**model, "alone": True}})
    with pytest.raises(SearchError, match="a population trains as lanes of one cohort"):
        run_sweep(plan, DATA)
