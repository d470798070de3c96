"""A sweep ends with its budgets of seconds, epochs and cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from rayml.search.study.study import Study
from tests.search.plans import report, tell

MakeStudy = Callable[..., Study]


def test_the_budget_of_seconds(make_study: MakeStudy) -> None:
    study = make_study(seconds=1000.0, started=time.time())
    [asked] = study.ask()
    assert report(study, asked.number, 1, 0.5, {}).action == "keep"
    spent = make_study(
        seconds=1000.0, started=time.time() - 1001, journal=study._plan.journal.parent / "2.log"
    )
    assert spent.ask() == []


def test_a_running_trial_is_stopped_when_the_seconds_are_spent(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time()
    study = make_study(seconds=10.0, started=start)
    [asked] = study.ask()
    monkeypatch.setattr(time, "time", lambda: start + 11)
    decision = report(study, asked.number, 1, 0.5, {})
    assert decision.reason == "the budget of 10 seconds is spent"
    tell(study, asked.number, "PRUNED", reason=decision.reason)
    best = study.snapshot().best
    assert best is not None
    assert (best.state, best.value) == ("PRUNED", 0.5)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"epochs": 3}, "the budget of 3 epochs is spent"),
        ({"cost": 0.5, "cost_per_second": 0.0625}, "the budget of cost 0.5 is spent"),
    ],
)
def test_the_budgets_of_epochs_and_cost(
    budget: dict[str, Any], reason: str, make_study: MakeStudy
) -> None:
    """Three epochs of 2 s of training and 1 s of evaluation; the second trial stays in progress."""
    study = make_study(**budget)
    first, second = study.ask(2)
    for step in (1, 2):
        spent = {"train_seconds": 2.0, "eval_seconds": 1.0}
        assert report(study, first.number, step, 0.5, {}, **spent).action == "keep"
    assert study.ask() != []
    assert report(study, second.number, 1, 0.5, {}, **spent).reason == reason
    assert study.ask() == []
    # An epoch in progress meanwhile still counts, and ends its trial too.
    assert report(study, first.number, 3, 0.5, {}, **spent).reason == reason
    assert tell(study, second.number, "PRUNED", reason=reason).value == 0.5
    progress = study.snapshot()
    assert progress.seconds_left == 0
    assert (progress.epochs, progress.cost) == (4, 12 * budget.get("cost_per_second", 0))
