"""The report, from a journal alone."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from rayml.errors import SearchError
from rayml.models.objectives import Objective
from rayml.search.report import leaderboard_table, read_leaderboard, write_report
from rayml.search.study import Study
from rayml.search_settings import BoundSettings

MIXED = {"model": {"dropout": {"type": "categorical", "choices": [None, 1, "x"]}}}


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    """Trial 0 completes, 1 completes better, 2 is pruned, 3 fails, 4 still runs."""
    study = make_study()
    trials = study.ask(5, tune_trial="t")
    for trial, value in zip(trials, [0.5, 0.75, 0.875, 0.1, 0.6], strict=True):
        study.report(trial.number, 1, value, {"accuracy": value, "loss": 1 - value})
    study.report(1, 2, 0.5, {"accuracy": 0.5, "auroc": float("nan")})
    study.tell(0, "COMPLETE", 0.5)
    study.tell(1, "COMPLETE", 0.75)
    study.tell(2, "PRUNED", reason="rank 3 of 3")
    study.tell(3, "FAIL", reason="ValueError: no")
    return study


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


@pytest.mark.usefixtures("study")
def test_trials_and_curves_in_parquet(tmp_path: Path) -> None:
    write_report(tmp_path)
    trials = pq.read_table(tmp_path / "report" / "trials.parquet").to_pylist()
    assert [row["number"] for row in trials] == [1, 0, 2, 4, 3]
    assert trials[0]["rank"] == 1
    assert trials[0]["tune_trial"] == "t"
    assert isinstance(trials[0]["params.model.width"], int)
    assert isinstance(trials[0]["params.train.optimizer.lr"], float)
    assert trials[0]["started"] <= trials[0]["ended"]
    assert trials[3]["ended"] is None
    assert trials[4]["reason"] == "ValueError: no"
    curves = pq.read_table(tmp_path / "report" / "curves.parquet").to_pylist()
    assert [(row["number"], row["epoch"], row["value"]) for row in curves] == [
        (0, 1, 0.5),
        (1, 1, 0.75),
        (1, 2, 0.5),
        (2, 1, 0.875),
        (3, 1, 0.1),
        (4, 1, 0.6),
    ]
    assert curves[1] | {"auroc": None} == curves[1]
    assert curves[1]["loss"] == 0.25


@pytest.fixture
def goals(make_study: Callable[..., Study]) -> Study:
    """Trial 0 is dominated, 1 and 2 are the front, 3 breaks a constraint, 4 too and is pruned."""
    study = make_study(
        objectives=(Objective("parameters", "minimize"),),
        constraints={"loss": BoundSettings(max=0.5)},
    )
    rows = [(0.7, 90, 0.4), (0.8, 80, 0.4), (0.6, 10, 0.5), (0.9, 50, 0.6), (0.95, 5, 0.55)]
    for trial, (accuracy, parameters, loss) in zip(study.ask(5), rows, strict=True):
        metrics = {"accuracy": accuracy, "parameters": parameters, "loss": loss}
        study.report(trial.number, 1, accuracy, metrics)
        study.report(trial.number, 2, accuracy - 0.1, {**metrics, "loss": 9.0})
        study.tell(trial.number, "PRUNED" if trial.number == 4 else "COMPLETE")
    study.tell(study.ask()[0].number, "PRUNED", reason="no time")
    return study


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


@pytest.mark.usefixtures("goals")
def test_goals_in_parquet_and_on_the_terminal(tmp_path: Path) -> None:
    board = write_report(tmp_path)
    trials = pq.read_table(tmp_path / "report" / "trials.parquet").to_pylist()
    assert [row["values.parameters"] for row in trials] == [80, 10, 90, 5, 50, None]
    assert [row["values.accuracy"] for row in trials] == [row["value"] for row in trials]
    assert [row["on_front"] for row in trials] == [True, True] + [False] * 4
    assert [row["feasible"] for row in trials] == [True] * 3 + [False] * 3
    assert trials[4]["violation"] == pytest.approx(0.1)
    assert trials[5]["violation"] is None
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(leaderboard_table(board))
    head, *_ = [line for line in out.getvalue().splitlines() if "rank" in line]
    names = ["accuracy", "parameters", "front", "violation", "searched"]
    assert all(name in head for name in names)
    assert "yes" in out.getvalue()


def test_choices_of_several_types_become_text(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study(tree=MIXED)
    fixed: list[Any] = [None, 1, "x"]
    for value in fixed:
        study.ask(fixed={"model.dropout": value})
    write_report(tmp_path)
    table = pq.read_table(tmp_path / "report" / "trials.parquet")
    assert table["params.model.dropout"].to_pylist() == [None, "1", "x"]


def test_a_sweep_without_trials_has_an_empty_report(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    make_study()
    write_report(tmp_path)
    assert pq.read_table(tmp_path / "report" / "trials.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "report" / "curves.parquet").num_rows == 0


def test_a_folder_that_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="holds its journal"):
        write_report(tmp_path)
