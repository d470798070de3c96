"""What a sweep checks before it starts anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayml.errors import ConfigError, InvalidConfigError, SearchError, SpaceError
from rayml.search.problem.study_plan import max_epochs
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.space.space import Space
from rayml.search.sweep import check_sweep
from rayml.settings.search import (
    BoundSettings,
    ObjectiveSettings,
    PopulationSettings,
    PrunerSettings,
    SamplerSettings,
)
from rayml.tasks.objectives import Objective
from tests.search.plans import changed

WIDTH = {"model": {"width": {"type": "int", "low": 16, "high": 64}}}


@pytest.fixture
def plan(config: dict[str, Any], tmp_path: Path) -> SweepPlan:
    return SweepPlan(name="s", sweeps=tmp_path, trial=config, space=Space.parse(WIDTH))


def test_the_objective_follows_from_the_task(plan: SweepPlan) -> None:
    assert check_sweep(plan, "binary").first == Objective("accuracy", "maximize")
    assert check_sweep(plan, "regression").first == Objective("rmse", "minimize")


def test_a_space_that_does_not_fit(plan: SweepPlan) -> None:
    space = Space.parse({"data": {"seed": {"type": "int", "low": 0, "high": 1}}})
    with pytest.raises(InvalidConfigError, match=r"space\.data\.seed"):
        check_sweep(changed(plan, space=space), "binary")


def test_a_grid_over_a_range(plan: SweepPlan) -> None:
    space = Space.parse({"model": {"dropout": {"type": "float", "low": 0.0, "high": 0.5}}})
    with pytest.raises(SpaceError, match=r"space\.model\.dropout"):
        check_sweep(changed(plan, space=space, sampler=SamplerSettings(name="grid")), "binary")


def test_an_unknown_metric(plan: SweepPlan) -> None:
    trial = {**plan.trial, "task": {"metric": "rmse", "metrics": {}}}
    with pytest.raises(ConfigError, match=r"task\.metric"):
        check_sweep(changed(plan, trial=trial), "binary")


def test_goals_are_checked_with_the_sweep(plan: SweepPlan) -> None:
    size = (ObjectiveSettings(metric="parameters"),)
    assert check_sweep(changed(plan, objectives=size), "binary").objectives == (
        Objective("accuracy", "maximize"),
        Objective("parameters", "minimize"),
    )
    with pytest.raises(InvalidConfigError, match=r"search\.constraints\.grace"):
        check_sweep(changed(plan, constraints={"grace": BoundSettings(max=1)}), "binary")
    with pytest.raises(ConfigError, match="takes one"):
        check_sweep(changed(plan, objectives=size, sampler=SamplerSettings(name="cmaes")), "binary")
    with pytest.raises(ConfigError, match="nothing that a trial takes has a price"):
        check_sweep(changed(plan, cost=1.0), "binary")


def test_times_and_populations_are_checked_with_the_sweep(plan: SweepPlan) -> None:
    with pytest.raises(ConfigError, match=r"search\.seconds"):
        check_sweep(changed(plan, deterministic=True, seconds=1.0), "binary")
    with pytest.raises(ConfigError, match=r"search\.pruner\.name=asha"):
        check_sweep(
            changed(plan, population=PopulationSettings(), sampler=SamplerSettings(name="random")),
            "binary",
        )
    with pytest.raises(ConfigError, match=r"search\.sampler\.name=tpe"):
        check_sweep(changed(plan, population=PopulationSettings()), "binary")
    sound = changed(
        plan,
        population=PopulationSettings(),
        pruner=PrunerSettings(name="none"),
        sampler=SamplerSettings(name="random"),
    )
    check_sweep(changed(sound, deterministic=True), "binary")


def test_a_name_that_is_taken(plan: SweepPlan) -> None:
    plan.folder.mkdir()
    check_sweep(plan, "binary")
    (plan.folder / "journal.log").touch()
    with pytest.raises(SearchError, match=r"Choose another search\.name"):
        check_sweep(plan, "binary")


def test_a_sweep_that_is_there_can_be_resumed(plan: SweepPlan) -> None:
    plan.folder.mkdir()
    (plan.folder / "journal.log").touch()
    check_sweep(changed(plan, resume=True), "binary")
    with pytest.raises(SearchError, match="rayml sweep resume=s"):
        check_sweep(plan, "binary")


def test_a_grid_has_no_warm_start(plan: SweepPlan) -> None:
    grid = changed(plan, sampler=SamplerSettings(name="grid"), warm_start=("other",))
    with pytest.raises(ConfigError, match="tries every point"):
        check_sweep(grid, "binary")


def test_the_most_epochs_of_a_trial(config: dict[str, Any]) -> None:
    def most(**epochs: Any) -> int:
        tree = {**WIDTH, "train": {"epochs": {"type": "int", "low": 1, **epochs}}}
        return max_epochs(Space.parse(tree), config)

    assert max_epochs(Space.parse(WIDTH), config) == 9
    assert most(high=4) == 4
    assert most(high=4, when={"model.width": 16}) == 9
    assert most(high=40, when={"model.width": 16}) == 40


def test_steps_count_in_stretches(config: dict[str, Any]) -> None:
    train = {**config["train"], "steps": 250, "eval_steps": 100}
    steps = {**config, "train": train}
    assert max_epochs(Space.parse(WIDTH), steps) == 3
    searched = {**WIDTH, "train": {"steps": {"type": "categorical", "choices": [100, 700]}}}
    assert max_epochs(Space.parse(searched), steps) == 7
    assert max_epochs(Space.parse(searched), {**steps, "train": {**train, "steps": None}}) == 7
    families = {**steps, "model": {"family": "mlp", "mlp": {}, "lightgbm": {}}}
    assert max_epochs(Space.parse(WIDTH), families) == 9


def test_planning_and_confirming_a_sweep_import_no_pytorch() -> None:
    code = (
        "import sys, rayml.search.sweep, rayml.search.report.tables, rayml.stages.confirm;"
        "print([name for name in ('torch', 'tensorboardX', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
