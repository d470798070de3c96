"""The trials of a sweep and their curves as tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from rayml.search.report.tables import write_tables
from rayml.search.results.leaderboard import leaderboard_table
from rayml.search.study.study import Study

MIXED = {"model": {"dropout": {"type": "categorical", "choices": [None, 1, "x"]}}}


@pytest.mark.usefixtures("study")
def test_trials_and_curves_in_parquet(tmp_path: Path) -> None:
    write_tables(tmp_path)
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


@pytest.mark.usefixtures("goals")
def test_goals_in_parquet_and_on_the_terminal(tmp_path: Path) -> None:
    board = write_tables(tmp_path)
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
    write_tables(tmp_path)
    table = pq.read_table(tmp_path / "report" / "trials.parquet")
    assert table["params.model.dropout"].to_pylist() == [None, "1", "x"]


def test_a_sweep_without_trials_has_an_empty_report(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    make_study()
    write_tables(tmp_path)
    assert pq.read_table(tmp_path / "report" / "trials.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "report" / "curves.parquet").num_rows == 0
