"""What each figure draws, from trials made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rayml.search.charts.curves import curves_figure
from rayml.search.charts.history import history_figures, improvements
from rayml.search.charts.parallel import parallel_figure
from rayml.search.charts.selection import Selection, select
from rayml.search.charts.slices import slice_figures
from rayml.search.charts.style import Figure
from rayml.search.charts.timeline import progress_figure, timing_rows, timings_figure
from rayml.search.problem.goals import Goals
from rayml.search.problem.ranking import TrialState
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.search.results.record import Searched
from rayml.tasks.objectives import Objective
from rayml.types import Direction

START = datetime(2026, 1, 1)
SEARCHED = [
    Searched("lr", FloatDistribution(1e-4, 1.0, log=True), {}),
    Searched("norm", CategoricalDistribution(["batch", None, 1]), {}),
    Searched("momentum", FloatDistribution(0.0, 1.0), {"opt": ["sgd"]}),
    Searched("depth", IntDistribution(1, 3), {}),
]


def row(
    number: int, state: TrialState = "COMPLETE", value: float | None = 0.5, **more: Any
) -> TrialRow:
    curve: Mapping[int, Any] = {} if value is None else {1: (value - 0.1, {}), 2: (value, {})}
    return TrialRow(
        number=number,
        state=state,
        value=value,
        epoch=None if value is None else 2,
        epochs=len(curve),
        params=more.pop("params", {"lr": 0.01, "norm": None, "depth": 2}),
        reason="",
        tune_trial="",
        started=START + timedelta(seconds=number),
        ended=None if state == "RUNNING" else START + timedelta(seconds=number + 2),
        curve=curve,
        values={} if value is None else {"accuracy": value},
        **more,
    )


ROWS = [
    row(4, value=0.9, violation=0.25),
    row(2, value=0.8, params={"lr": 0.1, "norm": 1, "momentum": 0.5, "depth": 3}),
    row(0, value=0.5),
    row(1, value=0.4, params={"lr": 0.001, "norm": "batch", "depth": 1}),
    row(3, "PRUNED", 0.7),
    row(5, "RUNNING", 0.6),
    row(6, "FAIL", None),
]


def board(direction: Direction) -> Leaderboard:
    return Leaderboard(Goals((Objective("accuracy", direction),)), ROWS)


BOARD = board("maximize")
DRAWN = select(ROWS, 100)


def trace(figure: Figure, name: str) -> dict[str, Any]:
    [found] = [each for each in figure.data if each["name"] == name]
    return found


def test_the_best_so_far_is_of_finished_feasible_trials() -> None:
    assert improvements(BOARD) == [(0, 0.5), (2, 0.8)]
    assert improvements(board("minimize")) == [(0, 0.5), (1, 0.4)]


def test_the_history_tells_states_apart() -> None:
    [figure] = history_figures(BOARD, DRAWN)
    points = {each["name"]: each["x"] for each in figure.data}
    assert points == {
        "pruned": [3],
        "in progress": [5],
        "breaks a constraint": [4],
        "finished": [0, 1, 2],
        "best so far": [0, 2, 6],
        "failed": [6],
    }
    assert trace(figure, "failed")["yaxis"] == "y2"
    assert len({each["marker"]["symbol"] for each in figure.data if "marker" in each}) == 5


def test_a_history_without_failures_has_no_strip_for_them() -> None:
    [figure] = history_figures(BOARD, Selection(ROWS[:4], 7))
    assert "yaxis2" not in figure.layout


def test_curves_end_where_a_trial_was_pruned() -> None:
    figure = curves_figure(BOARD, DRAWN, best=2)
    assert figure is not None
    assert trace(figure, "pruned here")["x"] == [2]
    assert trace(figure, "pruned here")["y"] == [0.7]
    assert trace(figure, "finished")["x"] == [1, 2, None, 1, 2, None]
    assert trace(figure, "trial 2, the best")["y"] == [0.7, 0.8, None]
    assert figure.data[-1]["line"]["color"] == "@best"
    assert curves_figure(BOARD, Selection([ROWS[-1]], 1), None) is None


def test_parallel_lines_pass_through_every_axis() -> None:
    figure = parallel_figure(BOARD, ROWS, SEARCHED)
    assert figure is not None
    titles = figure.layout["xaxis"]["ticktext"]
    assert titles == ["lr", "norm", "momentum", "depth", "epochs", "violation", "accuracy"]
    drawn = [number for each in figure.data for number in each["customdata"] if number is not None]
    assert sorted(set(drawn)) == [0, 1, 2, 3, 4]
    best = trace(figure, "best tenth")
    assert best["customdata"] == [4] * 7 + [None]
    assert best["y"][0] == pytest.approx(0.5)
    assert best["y"][2] < 0
    texts = {each["text"] for each in figure.layout["annotations"]}
    assert {"batch", "null", "1", "not set", "0.01"} <= texts


def test_one_line_is_no_parallel_plot() -> None:
    assert parallel_figure(BOARD, ROWS[:1], SEARCHED) is None
    assert parallel_figure(BOARD, ROWS, []) is None


def test_a_slice_a_parameter_over_the_trials_that_have_it() -> None:
    lr, norm, momentum, depth = slice_figures(BOARD, ROWS, SEARCHED)
    assert lr.layout["xaxis"]["type"] == "log"
    assert trace(lr, "finished")["x"] == [0.1, 0.01, 0.001]
    assert norm.layout["xaxis"]["ticktext"] == ["batch", "null", "1"]
    assert [round(x) for x in trace(norm, "finished")["x"]] == [2, 1, 0]
    assert trace(momentum, "finished")["customdata"] == [2]
    assert depth.layout["xaxis"]["tickvals"] == [1.0, 2.0, 3.0]


def test_trials_in_progress_over_time() -> None:
    figure = progress_figure(ROWS)
    assert figure is not None
    ended = trace(figure, "ended")["y"]
    assert ended == sorted(ended)
    assert ended[-1] == 6
    busy = trace(figure, "in progress")
    assert max(busy["y"]) == pytest.approx(2)
    # Each of six trials takes two seconds, and the one in progress runs on to the last end.
    spent = sum(busy["y"]) * busy["x"][0]
    assert spent == pytest.approx(6 * 2 + 3, rel=1e-3)
    assert progress_figure([ROWS[5]]) is None


def test_seconds_by_purpose() -> None:
    timings = {"first_epoch": 6.0, "total": 75.0, "train": 60.0, "eval": 15.0, "rest": 0.5}
    assert timing_rows(timings) == [
        ["from the start until the first epoch was trained", "wall-clock", "6.0 s", ""],
        ["the whole sweep", "wall-clock", "1 min 15 s", ""],
        ["rest", "wall-clock", "0.5 s", ""],
        ["training", "workers", "1 min 00 s", "80 %"],
        ["evaluation", "workers", "15.0 s", "20 %"],
    ]
    figure = timings_figure(timings)
    assert figure is not None
    assert [each["x"] for each in figure.data] == [[60.0], [15.0]]
    assert timings_figure({"total": 3.0}) is None
