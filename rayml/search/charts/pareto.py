"""The Pareto front of a study with several objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rayml.search.charts.style import Figure, Trace, axis, scatter, short
from rayml.search.results.leaderboard import Leaderboard, TrialRow

_Place: TypeAlias = Callable[[TrialRow], float | None]


def pareto_figures(board: Leaderboard, rows: Sequence[TrialRow]) -> list[Figure]:
    """The first objective against each other one.

    Args:
        board: of the sweep.
        rows: trials that are drawn.
    """
    complete = [row for row in rows if row.state == "COMPLETE"]
    if len(board.metrics) < 2 or not complete:
        return []
    return [_figure(board, complete, other) for other in range(1, len(board.metrics))]


def _figure(board: Leaderboard, rows: Sequence[TrialRow], other: int) -> Figure:
    x, y = _value(board.metrics[0]), _value(board.metrics[other])
    traces = scatter([row for row in rows if not row.on_front], x, y)
    front = sorted((row for row in rows if row.on_front), key=lambda row: row.value or 0.0)
    traces.append(_front(front, x, y, line=len(board.metrics) == 2))
    layout = {
        "xaxis": axis(_title(board, 0)),
        "yaxis": axis(_title(board, other)),
        "hovermode": "closest",
    }
    return Figure(f"pareto-{other}", traces, layout, height=420)


def _front(rows: Sequence[TrialRow], x: _Place, y: _Place, *, line: bool) -> Trace:
    return {
        "type": "scatter",
        # With three objectives the front is a surface, which a line would misrepresent.
        "mode": "lines+markers" if line else "markers",
        "name": "Pareto front",
        "x": [x(row) for row in rows],
        "y": [y(row) for row in rows],
        "customdata": [row.number for row in rows],
        "marker": {"color": "@best", "size": 10, "symbol": "star"},
        "line": {"color": "@best", "width": 1.5, "dash": "dot"},
    }


def _value(metric: str) -> _Place:
    def place(row: TrialRow) -> float | None:
        found = row.values.get(metric)
        return None if found is None else short(found)

    return place


def _title(board: Leaderboard, objective: int) -> str:
    better = "lower" if board.directions[objective] == "minimize" else "higher"
    return f"{board.metrics[objective]} ({better} is better)"
