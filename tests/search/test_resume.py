"""A study goes on from its journal: nothing is lost, nothing counts twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.problem.trials import UnfinishedCohort
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import PrunerSettings, SamplerSettings
from tests.search.conftest import TREE
from tests.search.plans import begin, report, study_plan, tell

ASHA = PrunerSettings(name="asha", reduction=2)


@pytest.fixture
def open_study(tmp_path: Path, config: dict[str, Any]) -> Iterator[Callable[..., Study]]:
    """Opens the study of `tmp_path`, a new one or, in another session, the same again."""
    opened: list[Study] = []

    def open_(session: str = "", **changes: Any) -> Study:
        resume = bool(opened)
        if resume:
            opened[-1]._journal._file._file.close()  # as the death of its process does
        plan: dict[str, Any] = {
            "name": "s",
            "journal": tmp_path / "journal.log",
            "space": Space.parse(changes.pop("tree", TREE)),
            "trial": config,
            "metric": "accuracy",
            "direction": "maximize",
            "trials": 20,
            "max_epochs": 9,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
            "started": time.time(),
            "session": session or str(len(opened)),
        }
        opened.append(Study(study_plan(**(plan | changes)), resume=resume))
        return opened[-1]

    yield open_
    opened[-1]._journal._file._file.close()


OpenStudy = Callable[..., Study]


def train(study: Study, number: int, values: list[float]) -> None:
    """Report a trial's epochs and tell its end as a worker does."""
    for step, value in enumerate(values, start=1):
        decision = report(
            study, number, step, value, {"auroc": value}, train_seconds=2.0, eval_seconds=1.0
        )
        if decision.action == "prune":
            tell(study, number, "PRUNED", reason=decision.reason)
            return
    tell(study, number, "COMPLETE", max(values))


def tables(study: Study) -> dict[str, Any]:
    """What a study knows, but for the time."""
    found = asdict(study.snapshot())
    del found["elapsed"]
    return found


def test_what_a_study_knew_it_knows_again(open_study: OpenStudy) -> None:
    study = open_study(pruner=ASHA)
    for trial, values in zip(
        study.ask(4), ([0.5, 0.6], [0.1, 0.2], [0.7, 0.6], [0.55]), strict=True
    ):
        train(study, trial.number, values)
    [failed, running] = study.ask(2)
    tell(study, failed.number, "FAIL", reason="broken")
    before = tables(study)
    again = open_study(pruner=ASHA)
    assert tables(again) == before
    assert before["pruned"]
    assert again.snapshot().running == 1
    assert [trial.number for trial in again.orphans()[0].trials] == [running.number]


def test_rungs_are_remembered(open_study: OpenStudy) -> None:
    def decisions(study: Study) -> list[str]:
        asked = study.ask(3)
        return [
            report(study, trial.number, 1, value, {}).action
            for trial, value in zip(asked, (0.35, 0.95, 0.6), strict=True)
        ]

    study = open_study(pruner=ASHA)
    for trial, value in zip(study.ask(6), (0.1, 0.3, 0.5, 0.7, 0.8, 0.9), strict=True):
        report(study, trial.number, 1, value, {})
    again = open_study(pruner=ASHA)
    assert decisions(again) == ["prune", "keep", "prune"]


def test_a_resumed_study_does_not_propose_the_same_again(open_study: OpenStudy) -> None:
    first = [trial.params for trial in open_study().ask(5)]
    later = [trial.params for trial in open_study().ask(5)]
    lrs = [params["train.optimizer.lr"] for params in [*first, *later]]
    assert len(set(lrs)) == 10


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "cmaes", "gp"])
def test_every_sampler_goes_on(name: str, open_study: OpenStudy) -> None:
    pytest.importorskip("cmaes")
    settings = SamplerSettings(name=name, startup_trials=2)  # type: ignore[arg-type]
    seen = []
    for _ in range(2):
        study = open_study(sampler=settings)
        for _ in range(5):
            [trial] = study.ask()
            seen.append(trial.params["train.optimizer.lr"])
            report(study, trial.number, 1, 0.5, {})
            tell(study, trial.number, "COMPLETE", 0.5)
    # A Gaussian process may well propose an end of the range again.
    assert len(set(seen)) == 10 or name == "gp"
    assert [trial.number for trial in read_study(study._plan.journal).trials] == list(range(10))


def test_a_grid_goes_on_where_it_was(open_study: OpenStudy) -> None:
    tree = {"model": {"width": {"type": "categorical", "choices": [16, 32, 48, 64]}}}
    grid = SamplerSettings(name="grid")
    for trial in open_study(tree=tree, sampler=grid).ask(2):
        assert trial.number < 2
    rest = open_study(tree=tree, sampler=grid).ask(10)
    assert [trial.number for trial in rest] == [2, 3]
    widths = [trial.params["model.width"] for trial in read_study(rest_path(open_study)).trials]
    assert sorted(widths) == [16, 32, 48, 64]


def rest_path(open_study: OpenStudy) -> Path:
    path: Path = open_study()._plan.journal
    return path


def test_the_budget_counts_all_sessions(open_study: OpenStudy) -> None:
    open_study(trials=5).ask(3)
    assert [trial.number for trial in open_study(trials=5).ask(9)] == [3, 4]
    assert open_study(trials=5).ask() == []
    assert [trial.number for trial in open_study(trials=6).ask(9)] == [5]


def test_the_clock_goes_on_from_the_last_trial_that_ended(open_study: OpenStudy) -> None:
    start = time.time()
    study = open_study(seconds=100.0, started=start - 60)
    [trial] = study.ask()
    train(study, trial.number, [0.5])
    assert open_study(seconds=100.0, started=start - 30).ask()
    again = open_study(seconds=100.0, started=start - 50)
    assert again.snapshot().elapsed == pytest.approx(110, abs=20)
    assert again.ask() == []


def test_cohorts_that_were_left_come_first_and_keep_their_numbers(open_study: OpenStudy) -> None:
    study = open_study()
    first, lanes = study.next_cohort(3, tune_trial="a")
    second, others = study.next_cohort(2, tune_trial="b")
    assert (first, second) == (0, 1)
    [joined] = study.ask(1, {"model.width": 16}, tune_trial="b", cohort=second)
    report(study, lanes[0].number, 1, 0.5, {})
    train(study, lanes[1].number, [0.5])
    again = open_study()
    left = (lanes[0], lanes[2])
    assert again.orphans() == (
        UnfinishedCohort(0, left, (1, 0)),
        UnfinishedCohort(1, (*others, joined), (0, 0, 0)),
    )
    assert again.next_cohort(1, tune_trial="c") == (0, list(left))
    assert again.next_cohort(1, tune_trial="d") == (1, [*others, joined])
    assert again.orphans() == ()
    assert again.lanes(1) == [*others, joined]
    number, fresh = again.next_cohort(2, tune_trial="e")
    assert number == 2
    assert [trial.number for trial in fresh] == [6, 7]


def test_a_study_that_restarts_within_a_session_takes_nothing_from_its_workers(
    open_study: OpenStudy,
) -> None:
    study = open_study("one")
    _, lanes = study.next_cohort(2, tune_trial="a")
    again = open_study("one")
    assert again.orphans() == ()
    # The same call again, as its answer was lost; then a new one.
    assert again.next_cohort(2, tune_trial="a") == (0, lanes)
    number, fresh = again.next_cohort(2, tune_trial="b")
    assert (number, [trial.number for trial in fresh]) == (1, [2, 3])
    assert again.snapshot().restarts == 0
    train(again, lanes[0].number, [0.5, 0.6])
    assert again.snapshot().complete == 1


def test_a_request_that_is_made_again_gives_the_same_trials(open_study: OpenStudy) -> None:
    asked = open_study("one").ask(2, cohort=0, request="r1")
    again = open_study("one")
    assert again.ask(2, cohort=0, request="r1") == asked
    assert [trial.number for trial in again.ask(1, cohort=0, request="r2")] == [2]


def test_an_unfinished_trial_is_trained_from_its_checkpoint(open_study: OpenStudy) -> None:
    study = open_study()
    _, [trial] = study.next_cohort(tune_trial="a")
    begin(study, trial.number, 0)
    for step in (1, 2, 3):
        report(study, trial.number, step, 0.1 * step, {})
    again = open_study()
    _, [same] = again.next_cohort(tune_trial="b")
    assert same == trial
    assert begin(again, same.number, 2)
    for step in (3, 4):
        report(again, same.number, step, 0.1 * step, {})
    tell(again, same.number, "COMPLETE", 0.4)
    [recorded] = read_study(again._plan.journal).trials
    assert list(recorded.intermediate_values) == [1, 2, 3, 4]
    assert recorded.user_attrs == {
        "tune_trial": "b",
        "restarts": [{"reported": 3, "checkpoint": 2}],
    }
    assert again.snapshot().epochs == 4


def test_an_ended_trial_is_not_told_again(open_study: OpenStudy) -> None:
    study = open_study()
    [trial] = study.ask()
    train(study, trial.number, [0.5])
    again = open_study()
    assert tell(again, trial.number, "FAIL", reason="late").state == "COMPLETE"
    assert not begin(again, trial.number, 0)
    assert report(again, trial.number, 2, 0.5, {}).action == "prune"
    assert again.snapshot().complete == 1


def test_a_trial_is_in_the_journal_whole_or_not_at_all(open_study: OpenStudy) -> None:
    study = open_study()
    path: Path = study._plan.journal
    before = len(path.read_bytes().splitlines())
    asked = study.ask(3)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) - before == 3
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20])
    again = open_study()
    assert again.resumed().torn == len(lines[-1]) - 20
    assert [t for cohort in again.orphans() for t in cohort.trials] == asked[:2]


def test_an_empty_journal_is_begun(tmp_path: Path, open_study: OpenStudy) -> None:
    open_study()
    (tmp_path / "journal.log").write_bytes(b"")
    again = open_study()
    assert again.resumed().done == 0
    assert again.ask()[0].number == 0


def test_another_objective_is_refused(open_study: OpenStudy) -> None:
    open_study()
    with pytest.raises(SearchError, match="the sweep seeks accuracy, and the config auroc"):
        open_study(metric="auroc")


CHOICES = {"type": "categorical", "choices": [16, 32]}
OTHERS = {"type": "categorical", "choices": [32, 64]}


def test_a_changed_space_is_taken_and_read_by_optuna(open_study: OpenStudy) -> None:
    def tree(width: Any) -> dict[str, Any]:
        return {**TREE, "model": {"width": width}}

    study = open_study(tree=tree(CHOICES))
    for trial in study.ask(6):
        train(study, trial.number, [0.5])
    again = open_study(tree=tree(OTHERS), sampler=SamplerSettings(name="tpe", startup_trials=0))
    for trial in again.ask(6):
        assert trial.params["model.width"] in {32, 64}
        train(again, trial.number, [0.5])
    trials = read_study(again._plan.journal).trials
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert all(trial.params.keys() == {"model.width", "train.optimizer.lr"} for trial in trials)


def test_suggestions_are_tried_first_and_once(open_study: OpenStudy) -> None:
    from rayml.search.problem.prior_trials import PriorTrials

    best = ({"model.width": 16}, {"model.width": 48, "train.optimizer.lr": 0.05})
    history = PriorTrials(suggestions=best)
    study = open_study(history=history)
    [first] = study.ask()
    assert first.params["model.width"] == 16
    [other] = study.ask(1, {"model.width": 64})
    assert other.params["model.width"] == 64
    again = open_study()  # even if the history is gone
    assert again.ask()[0].params == best[1]
    assert again.ask()[0].params not in best
    assert read_study(again._plan.journal).trials[2].system_attrs["suggested"] == 1


def test_a_resumed_study_knows_what_was_tried_and_what_is_structural(
    open_study: OpenStudy,
) -> None:
    tree = {
        "model": {"width": {"type": "int", "low": 1, "high": 4}},
        "train": {"batch_size": {"type": "categorical", "choices": [8, 16]}},
    }
    study = open_study(tree=tree)
    number, asked = study.next_cohort(tune_trial="a") or (0, [])
    study.classify({"model.width": True, "train.batch_size": True})
    asked += study.ask(4)
    again = open_study(tree=tree)
    assert again.opening(number).classified
    assert again.snapshot().structures == 5
    asked += again.ask(9)
    assert len({tuple(each.params.items()) for each in asked}) == len(asked) == 8
    assert not open_study(tree=tree).has_more
