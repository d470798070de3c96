"""Sweeps over modules as users write them: none spoils another's, and each failure is told once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.problem.sweep_plan import JOURNAL, SweepPlan
from rayml.search.problem.trials import Progress
from rayml.search.space.space import Space
from rayml.search.sweep import run_sweep
from rayml.settings.search import PrunerSettings, SamplerSettings
from rayml.settings.train import TrainSettings
from tests.integration.test_sweep import DATA, LR
from tests.search.plans import sweep_plan

pytestmark = pytest.mark.usefixtures("ray_session")


class Notes:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.last: Progress | None = None

    def update(self, progress: Progress) -> None:
        self.last = progress

    def close(self) -> None:
        pass


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., SweepPlan]:
    def make(model: str, **changes: Any) -> SweepPlan:
        plan: dict[str, Any] = {
            "name": tmp_path.name,
            "sweeps": tmp_path / "sweeps",
            "trial": {
                "model": {"_target_": f"tests.odd_models.{model}"},
                "task": {"metric": None, "metrics": {}},
                "train": dataclasses.asdict(TrainSettings(epochs=3, batch_size=64)),
            },
            "space": Space.parse({"train": {"optimizer": {"lr": LR}}}),
            "trials": 4,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
            "concurrency": 1,
        }
        return sweep_plan(**(plan | changes))

    return make


def test_a_module_that_cannot_be_copied_trains_alone_with_one_line(
    make_plan: Callable[..., SweepPlan],
) -> None:
    view = Notes()
    result = run_sweep(make_plan("Locked", lanes=2), DATA, view=view)
    assert view.last is not None
    assert (view.last.complete, view.last.failed, view.last.restarts) == (4, 0, 0)
    assert result.best is not None
    [note] = [each for each in view.last.notes if "alone" in each]
    assert note == "trials train alone: TypeError: cannot pickle '_thread.lock' object"


def test_an_error_of_the_users_code_is_not_tried_again(
    make_plan: Callable[..., SweepPlan],
) -> None:
    view, plan = Notes(), make_plan("RaisesLater", lanes=2)
    with pytest.raises(SearchError, match="too many batches"):
        run_sweep(plan, DATA, view=view)
    assert view.last is not None
    assert view.last.failed == 4
    trials = read_study(plan.folder / JOURNAL).get_trials()
    assert [each.state for each in trials] == [TrialState.FAIL] * 4
    for each in trials:
        assert "odd_models.py:" in each.user_attrs["reason"]
        assert each.user_attrs["reason"].count("too many batches") == 2
        # Once alone, after it failed as a lane.
        assert len(each.user_attrs["restarts"]) == 1


def test_a_module_that_writes_to_its_inputs_spoils_no_other_trial(
    make_plan: Callable[..., SweepPlan],
) -> None:
    """One configuration ten times: the tenth trial sees the rows that the first one saw."""
    fixed = {"train": {"optimizer": {"lr": {"type": "categorical", "choices": [0.01]}}}}
    for lanes in (1, 4):
        view = Notes()
        plan = make_plan(
            "WritesByNumPy",
            trials=10,
            space=Space.parse(fixed),
            name=f"of-{lanes}",
            lanes=lanes,
        )
        run_sweep(plan, DATA, view=view)
        found = {each.value for each in read_study(plan.folder / JOURNAL).get_trials()}
        assert len(found) == 1
