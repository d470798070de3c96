"""Optimisation history: every trial's value by its number, and the best so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rayml.search.charts.selection import Selection
from rayml.search.charts.style import Figure, Trace, axis, middle, scatter, short
from rayml.search.results.leaderboard import Leaderboard, TrialRow

_STRIP = 0.07


def improvements(board: Leaderboard, objective: int = 0) -> list[tuple[int, float]]:
    """Trials that were the best when they completed, as number and value, in order of number."""
    sign = 1.0 if board.directions[objective] == "minimize" else -1.0
    found: list[tuple[int, float]] = []
    for row in sorted(board.rows, key=lambda row: row.number):
        if row.state != "COMPLETE" or row.violation > 0:
            continue
        value = row.values.get(board.metrics[objective])
        if value is not None and (not found or sign * value < sign * found[-1][1]):
            found.append((row.number, value))
    return found


def history_figures(board: Leaderboard, drawn: Selection) -> Iterator[Figure]:
    """One figure an objective; failed trials lie in a strip below."""
    for objective in range(len(board.metrics)):
        yield _figure(board, drawn, objective)


def _figure(board: Leaderboard, drawn: Selection, objective: int) -> Figure:
    def value(row: TrialRow) -> float | None:
        found = row.values.get(board.metrics[objective])
        return None if found is None else short(found)

    valued = [row for row in drawn.rows if row.state != "FAIL" and value(row) is not None]
    failed = [row for row in drawn.rows if row.state == "FAIL"]
    traces = scatter(valued, lambda row: row.number, value)
    traces += _best(board, objective)
    traces += scatter(failed, lambda row: row.number, lambda _: 0, yaxis="y2")
    shown = [v for v in map(value, valued) if v is not None]
    layout = _layout(board, objective, shown, failed=bool(failed))
    return Figure(f"history-{objective}", traces, layout, height=400)


def _best(board: Leaderboard, objective: int) -> list[Trace]:
    steps = improvements(board, objective)
    if not steps:
        return []
    last = max(row.number for row in board.rows)
    x = [number for number, _ in steps] + [last]
    y = [short(value) for _, value in steps] + [short(steps[-1][1])]
    line = {"color": "@best", "width": 2.5, "shape": "hv"}
    # The last point ends the line; it is no trial's.
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": x,
            "y": y,
            "line": line,
            "customdata": [number for number, _ in steps] + [steps[-1][0]],
        }
    ]


def _layout(
    board: Leaderboard, objective: int, values: Sequence[float], *, failed: bool
) -> dict[str, Any]:
    y = axis(board.metrics[objective], domain=[_STRIP + 0.03, 1.0] if failed else [0.0, 1.0])
    span = middle(values, board.directions[objective])
    if span is not None:
        y["range"] = list(span)
    last = max(row.number for row in board.rows)
    layout: dict[str, Any] = {
        "xaxis": axis("trial", range=[-0.015 * last - 0.3, 1.015 * last + 0.3], zeroline=False),
        "yaxis": y,
    }
    if failed:
        layout["yaxis2"] = {
            "domain": [0.0, _STRIP],
            "range": [-1, 1],
            "tickvals": [0],
            "ticktext": ["failed"],
            "fixedrange": True,
            "zeroline": False,
        }
        layout["xaxis"]["anchor"] = "y2"
    return layout
