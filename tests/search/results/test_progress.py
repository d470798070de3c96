"""What the live view says, on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from rayml.search.problem.trials import FinishedTrial, Progress
from rayml.search.results import progress as module
from rayml.search.results.progress import (
    LiveView,
    PlainView,
    best_line,
    choose_view,
    counts,
    left,
    trial_line,
)
from rayml.search.results.wording import params_text

GOOD = FinishedTrial(0, {"model.width": 32, "lr": 0.012345}, "COMPLETE", 0.91234, 3, 4, "")
PRUNED = FinishedTrial(1, {"model.width": 16, "lr": 0.5}, "PRUNED", 0.5, 1, 1, "rank 2")
BAD = FinishedTrial(
    2, {"model.width": 64, "lr": 9.0}, "FAIL", None, None, 0, "ValueError: a\n b [x]"
)
NOW = Progress(
    running=2,
    complete=1,
    pruned=1,
    failed=1,
    restarts=0,
    trials=10,
    seconds=None,
    elapsed=17.0,
    first_epoch=5.0,
    epochs=24,
    train_seconds=1.0,
    eval_seconds=1.0,
    best=GOOD,
    finished=(GOOD, PRUNED, BAD),
)


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=120, color_system=None), out


def test_lines_where_there_is_no_terminal() -> None:
    plain, out = console(terminal=False)
    view = choose_view("accuracy", plain)
    assert isinstance(view, PlainView)
    view.update(NOW)
    view.update(replace(NOW, finished=()))
    view.close()
    assert out.getvalue().splitlines() == [
        "[1/10] trial 0 finished after 4 epochs, accuracy 0.91234: width=32, lr=0.01235",
        "[2/10] trial 1 pruned after 1 epoch, accuracy 0.5: width=16, lr=0.5",
        "[3/10] trial 2 failed: ValueError: a b [x]",
    ]


def test_a_line_now_and_then_while_none_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT", 0.0)
    plain, out = console(terminal=False)
    PlainView("accuracy", plain).update(replace(NOW, finished=(), restarts=1))
    assert out.getvalue() == (
        "2 lanes alive, 1 finished, 1 pruned, 1 failed, 1 restarted, 2.0 epochs/s, 0:28 left\n"
    )


def test_a_panel_on_a_terminal() -> None:
    live, out = console(terminal=True)
    view = choose_view("accuracy", live)
    assert isinstance(view, LiveView)
    view.update(NOW)
    view.close()
    shown = out.getvalue()
    assert "trial 2 failed: ValueError: a b [x]" in shown
    assert "3/10 trials" in shown
    assert "0:28 left" in shown
    assert "0:17 gone" in shown
    assert "2 lanes alive, 1 finished, 1 pruned, 1 failed, 2.0 epochs/s" in shown
    assert "best accuracy 0.91234 (trial 0): width=32, lr=0.01235" in shown


def test_further_objectives_and_violations_are_told() -> None:
    values = {"accuracy": 0.91234, "parameters": 12345678.0, "auroc": None}
    several = replace(GOOD, values=values)
    told = "accuracy 0.91234, parameters 12345678, auroc undefined"
    assert trial_line(several, "accuracy").startswith(f"trial 0 finished after 4 epochs, {told}: ")
    broken = replace(several, values={"accuracy": 0.91234}, violation=0.0321)
    assert best_line(replace(NOW, best=broken), "accuracy") == (
        "best accuracy 0.91234 (trial 0, violation 0.0321): width=32, lr=0.01235"
    )


def test_budgets_of_epochs_and_cost_are_told() -> None:
    spending = replace(NOW, epochs_budget=100, cost=0.01234, cost_budget=2.5)
    assert counts(spending).endswith("2.0 epochs/s, 24/100 epochs, cost 0.0123/2.5")
    assert left(replace(NOW, epochs_budget=30)) == "0:03 left"


def test_the_pace_in_steps_where_the_workers_tell_them() -> None:
    told = counts(replace(NOW, running=1, steps=15_000))
    assert told == "1 lane alive, 1 finished, 1 pruned, 1 failed, 2.0 epochs/s, 1,250 steps/s"
    assert counts(replace(NOW, first_epoch=None)) == (
        "2 lanes alive, 1 finished, 1 pruned, 1 failed"
    )


def test_counts_have_the_colour_of_their_state() -> None:
    out = io.StringIO()
    colored = Console(file=out, force_terminal=True, width=120, color_system="standard")
    view = LiveView("accuracy", colored)
    view.update(replace(NOW, pruned=0))
    view.close()
    assert "\x1b[31m1 failed" in out.getvalue()
    assert "\x1b[32m1 finished" in out.getvalue()
    assert "\x1b[33m0 pruned" not in out.getvalue()


def test_a_terminal_is_left_alone_until_there_is_something_to_show() -> None:
    live, out = console(terminal=True)
    LiveView("accuracy", live).close()
    assert out.getvalue() == ""


def test_a_panel_before_the_first_value() -> None:
    live, out = console(terminal=True)
    view = LiveView("accuracy", live)
    fresh = replace(NOW, complete=0, pruned=0, failed=0, best=None, finished=(), first_epoch=None)
    view.update(fresh)
    view.close()
    assert "no accuracy yet" in out.getvalue()
    assert "starting" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "0:28 left"), (20.0, "0:03 left"), (9000.0, "0:28 left")]
)
def test_time_left_by_both_budgets(seconds: float | None, words: str) -> None:
    assert left(replace(NOW, seconds=seconds)) == words


def test_time_left_before_a_trial_has_finished() -> None:
    early = replace(NOW, complete=0, pruned=0, failed=0)
    assert left(early) == "time left unknown"
    assert left(replace(early, seconds=7217.0)) == "2:00:00 left"


def test_parameters_keep_what_tells_them_apart() -> None:
    assert params_text({"a.x": 1, "b.x": None, "b.y": "z"}) == "a.x=1, b.x=None, y=z"


@pytest.mark.parametrize("terminal", [False, True])
def test_each_note_is_shown_once(terminal: bool) -> None:
    out = io.StringIO()
    view = choose_view("accuracy", Console(file=out, force_terminal=terminal, width=100))
    both = ("alone: no lanes", "9 lanes fit")
    for notes in ((), both[:1], both, both[1:], both):
        view.update(replace(NOW, notes=notes, finished=()))
    view.close()
    assert out.getvalue().count("alone: no lanes") == 1
    assert out.getvalue().count("9 lanes fit") == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sweep_without_a_budget_of_trials(terminal: bool) -> None:
    shown, out = console(terminal)
    view = choose_view("accuracy", shown)
    view.update(replace(NOW, trials=None, seconds=60.0))
    view.close()
    assert ("3 trials" if terminal else "[1] trial 0 finished") in out.getvalue()
    assert "/None" not in out.getvalue()
    assert left(replace(NOW, trials=None, seconds=60.0)) == "0:43 left"


def test_the_structures_that_were_looked_at_are_told() -> None:
    assert "1 failed, 12 structures, " in counts(replace(NOW, structures=12))
    assert "1 failed, 1 structure, " in counts(replace(NOW, structures=1))
    assert "structure" not in counts(NOW)
