"""The study records, decides and keeps its budgets."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.problem.trials import Report
from rayml.search.results.leaderboard import read_leaderboard
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings
from tests.search.plans import begin, report, tell

MakeStudy = Callable[..., Study]


def recorded(tmp_path: Path) -> list[FrozenTrial]:
    return read_study(tmp_path / "journal.log").trials


def test_a_trial_from_ask_to_tell(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    [asked] = study.ask(tune_trial="abc")
    for step, value in enumerate([0.5, 0.75, 0.625], start=1):
        metrics = {"accuracy": value, "auroc": math.nan}
        assert report(study, asked.number, step, value, metrics).action == "keep"
    finished = tell(study, asked.number, "COMPLETE", 0.75)
    assert (finished.value, finished.epoch, finished.epochs) == (0.75, 2, 3)
    [trial] = recorded(tmp_path)
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.75
    assert trial.params == asked.params
    assert trial.intermediate_values == {1: 0.5, 2: 0.75, 3: 0.625}
    assert trial.user_attrs == {"tune_trial": "abc"}
    assert trial.system_attrs["epoch:2"] == {"accuracy": 0.75, "auroc": None, "train_seconds": 0.0}


def test_a_pruned_trial_is_pruned_with_its_curve(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(pruner=PrunerSettings(name="asha", reduction=2))
    good, bad = study.ask(2)
    assert report(study, good.number, 1, 0.9, {}).action == "keep"
    decision = report(study, bad.number, 1, 0.1, {})
    assert decision.action == "prune"
    tell(study, bad.number, "PRUNED", reason=decision.reason)
    trial = recorded(tmp_path)[bad.number]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.1}
    assert trial.user_attrs["reason"] == "rank 2 of 2 after 1 epochs, 1 go on"


def test_trials_of_steps_are_told_in_rounds(
    make_study: MakeStudy, tmp_path: Path, config: dict[str, Any]
) -> None:
    config["train"] |= {"steps": 250, "eval_steps": 50}
    study = make_study(trial=config, pruner=PrunerSettings(name="asha", reduction=2))
    good, bad = study.ask(2)
    report(study, good.number, 1, 0.9, {})
    reason = report(study, bad.number, 1, 0.1, {}).reason
    assert reason == "rank 2 of 2 after 1 50-step rounds, 1 go on"
    tell(study, bad.number, "PRUNED", reason=reason)
    assert study.snapshot().eval_steps == 50
    assert read_leaderboard(tmp_path).unit == "50-step round"


def test_smaller_is_better_where_it_is_minimised(make_study: MakeStudy) -> None:
    study = make_study(direction="minimize", pruner=PrunerSettings(name="asha", reduction=2))
    good, bad = study.ask(2)
    assert report(study, good.number, 1, 0.1, {}).action == "keep"
    assert report(study, bad.number, 1, 0.9, {}).action == "prune"
    tell(study, good.number, "COMPLETE", 0.1)
    tell(study, bad.number, "COMPLETE", 0.9)
    best = study.snapshot().best
    assert best is not None
    assert best.number == good.number


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_fails_the_trial(
    value: float, make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study()
    reported, told = study.ask(2)
    assert report(study, reported.number, 3, value, {}).action == "prune"
    assert tell(study, told.number, "COMPLETE", value).state == "FAIL"
    trials = recorded(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 2
    assert trials[0].user_attrs["reason"] == f"accuracy is {value} after epoch 3"
    assert trials[1].user_attrs["reason"] == f"accuracy is {value} at its end"


def test_a_trial_is_told_once(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    [asked] = study.ask()
    first = tell(study, asked.number, "COMPLETE", 0.5)
    assert tell(study, asked.number, "FAIL", reason="late") == first
    assert report(study, asked.number, 1, 0.5, {}).reason == "trial 0 is COMPLETE already"
    assert recorded(tmp_path)[0].user_attrs == {}
    assert study.snapshot().complete == 1


def test_an_epoch_reported_again_is_recorded_once(make_study: MakeStudy) -> None:
    study = make_study()
    [asked] = study.ask()
    for _ in range(2):
        report(study, asked.number, 1, 0.5, {}, train_seconds=2.0, eval_seconds=1.0)
    progress = study.snapshot()
    assert (progress.epochs, progress.train_seconds, progress.eval_seconds) == (1, 2.0, 1.0)


def test_steps_are_counted_once_for_each_epoch(make_study: MakeStudy) -> None:
    study = make_study()
    one, other = study.ask(2)
    for number in (one.number, one.number, other.number):
        report(study, number, 1, 0.5, {}, steps=30)
    report(study, one.number, 2, 0.5, {}, steps=12)
    assert study.snapshot().steps == 72


def test_the_lanes_of_a_cohort_are_judged_beside_one_another(make_study: MakeStudy) -> None:
    """The best of them come last, and those before them are no better for it."""
    study = make_study(pruner=PrunerSettings(name="asha", reduction=4))
    reports = [Report(each.number, 1, each.number / 100, {}, 0.0, 0.0, 1) for each in study.ask(16)]
    decisions = study.report(reports)
    assert [d.action for d in decisions] == ["prune"] * 12 + ["keep"] * 4
    assert decisions[0].reason == "rank 16 of 16 after 1 epochs, 4 go on"


def test_a_lane_that_diverges_takes_no_place_of_its_neighbours(make_study: MakeStudy) -> None:
    study = make_study(pruner=PrunerSettings(name="asha", reduction=2))
    values = [0.1, math.nan, 0.3]
    asked = study.ask(3)
    reports = [
        Report(each.number, 1, value, {}, 0.0, 0.0, 1)
        for each, value in zip(asked, values, strict=True)
    ]
    decisions = study.report(reports)
    assert [d.action for d in decisions] == ["prune", "prune", "keep"]
    assert decisions[0].reason.startswith("rank 2 of 2")


def test_the_curves_of_some_trials(make_study: MakeStudy) -> None:
    study = make_study()
    for trial in study.ask(2):
        report(study, trial.number, 1, 0.5, {"accuracy": 0.5, "auroc": math.nan})
    report(study, 1, 2, 0.75, {"accuracy": 0.75})
    tell(study, 1, "COMPLETE", 0.75)
    seconds = {"train_seconds": 0.0}
    assert study.curves([1]) == {
        1: {1: {"accuracy": 0.5, "auroc": None, **seconds}, 2: {"accuracy": 0.75, **seconds}}
    }
    assert study.curves([]) == {}


def test_a_trial_that_was_not_asked(make_study: MakeStudy) -> None:
    with pytest.raises(SearchError, match="no trial 7 was asked"):
        tell(make_study(), 7, "COMPLETE", 1.0)


def test_fixed_values_are_kept(make_study: MakeStudy) -> None:
    asked = make_study().ask(3, {"model.width": 48})
    assert [trial.params["model.width"] for trial in asked] == [48] * 3
    assert len({trial.params["train.optimizer.lr"] for trial in asked}) == 3


def test_the_budget_of_trials(make_study: MakeStudy) -> None:
    study = make_study(trials=3)
    assert [trial.number for trial in study.ask(2)] == [0, 1]
    assert [trial.number for trial in study.ask(2)] == [2]
    assert study.ask() == []


def test_a_completed_trial_is_the_best_before_any_stopped_one(make_study: MakeStudy) -> None:
    study = make_study()
    stopped, completed = study.ask(2)
    report(study, stopped.number, 1, 0.9, {})
    tell(study, stopped.number, "PRUNED", reason="x")
    assert study.snapshot().best.number == stopped.number  # type: ignore[union-attr]
    report(study, completed.number, 1, 0.4, {})
    tell(study, completed.number, "COMPLETE", 0.4)
    assert study.snapshot().best.number == completed.number  # type: ignore[union-attr]


def test_a_snapshot_tells_what_finished_since(make_study: MakeStudy) -> None:
    study = make_study()
    for trial in study.ask(3):
        tell(study, trial.number, "FAIL", reason=f"r{trial.number}")
    assert [trial.reason for trial in study.snapshot(1).finished] == ["r1", "r2"]
    assert study.snapshot(3).finished == ()
    progress = study.snapshot()
    assert (progress.failed, progress.running, progress.done) == (3, 0, 3)


def test_restarts_are_counted(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    [asked] = study.ask()
    assert begin(study, asked.number, 0)
    assert study.snapshot().restarts == 0
    report(study, asked.number, 1, 0.5, {})
    begin(study, asked.number, 0)
    report(study, asked.number, 2, 0.5, {})
    assert begin(study, asked.number, 2)
    assert study.snapshot().restarts == 2
    assert recorded(tmp_path)[0].user_attrs["restarts"] == [
        {"reported": 1, "checkpoint": 0},
        {"reported": 2, "checkpoint": 2},
    ]
    tell(study, asked.number, "FAIL", reason="x")
    assert not begin(study, asked.number, 0)
    assert study.snapshot().restarts == 2


READER = """
import json, sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
study = optuna.load_study(study_name="s", storage=storage)
print(json.dumps([[t.state.name, t.params] for t in study.trials]))
"""


def test_another_process_reads_the_running_study(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    first, second = study.ask(2)
    tell(study, first.number, "COMPLETE", 0.5)
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "journal.log")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [["COMPLETE", first.params], ["RUNNING", second.params]]
