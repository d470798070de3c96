"""The leaderboard, from a journal alone."""

from __future__ import annotations

import io
import math
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from rayml.errors import SearchError
from rayml.search.results.leaderboard import leaderboard_table, rank_trials, read_leaderboard
from tests.search.simulated_sweeps import add_trial, study_of


@pytest.mark.usefixtures("study")
def test_the_leaderboard_of_a_running_sweep(tmp_path: Path) -> None:
    board = read_leaderboard(tmp_path)
    assert (board.metric, board.direction) == ("accuracy", "maximize")
    rows = [(row.number, row.state, row.value, row.epoch, row.epochs) for row in board.rows]
    assert rows == [
        (1, "COMPLETE", 0.75, 1, 2),
        (0, "COMPLETE", 0.5, 1, 1),
        (2, "PRUNED", 0.875, 1, 1),
        (4, "RUNNING", 0.6, 1, 1),
        (3, "FAIL", None, None, 1),
    ]


@pytest.mark.usefixtures("study")
def test_the_table_on_the_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, color_system=None)
    console.print(leaderboard_table(read_leaderboard(tmp_path), limit=4))
    console.print(leaderboard_table(read_leaderboard(tmp_path)))
    shown = out.getvalue()
    assert "best 4 of 5 trials" in shown
    assert "0.75" in shown
    assert "width=" in shown
    assert shown.count("ValueError: no") == 1


def test_a_folder_that_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="holds no journal"):
        read_leaderboard(tmp_path)


def several(*sizes: float, **bounds: float) -> optuna.Study:
    """Trials 0 and 1 trade a low loss for a high speed; 2 is worse than 0 in both."""
    study = study_of("loss", "speed", directions=["minimize", "maximize"], **bounds)
    points = [(0.5, 0.5), (0.25, 0.25), (0.75, 0.375)]
    for (loss, speed), size in zip(points, sizes, strict=True):
        add_trial(study, {"loss": loss, "speed": speed, "size": size})
    return study


def test_several_objectives_are_ranked_by_the_first() -> None:
    board = rank_trials(several(1, 1, 1))
    assert board.metrics == ("loss", "speed")
    assert board.directions == ("minimize", "maximize")
    assert [(row.value, row.on_front) for row in board.rows] == [
        (0.25, True),
        (0.5, True),
        (0.75, False),
    ]
    assert board.rows[0].values == {"loss": 0.25, "speed": 0.25}


def test_trials_that_break_a_constraint_come_after_those_that_do_not() -> None:
    board = rank_trials(several(1.125, 1.5, 0.5, size=1.0))
    assert [(row.value, row.violation) for row in board.rows] == [
        (0.75, 0.0),
        (0.5, 0.125),
        (0.25, 0.5),
    ]


@pytest.mark.usefixtures("goals")
def test_the_front_leads_the_leaderboard_and_infeasible_trials_follow(tmp_path: Path) -> None:
    board = read_leaderboard(tmp_path)
    assert (board.metric, str(board.goals)) == ("accuracy", "accuracy, parameters with loss <= 0.5")
    rows = [(row.number, row.on_front, row.feasible, round(row.violation, 6)) for row in board.rows]
    assert rows == [
        (1, True, True, 0),
        (2, True, True, 0),
        (0, False, True, 0),
        (4, False, False, 0.05),
        (3, False, False, 0.1),
        (5, False, False, math.inf),
    ]
    assert board.rows[0].values == {"accuracy": 0.8, "parameters": 80}
