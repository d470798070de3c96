"""The Pareto front of a study with several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from rayml.search.report.leaderboard import Leaderboard, TrialRow
from rayml.search.report.style import Figure, Trace, axis, scatter, short


def pareto_figures(
    board: Leaderboard, rows: Sequence[TrialRow], front: frozenset[int]
) -> list[Figure]:
    """The first objective against each other one.

    Args:
        board: of the sweep.
        rows: trials that are drawn.
        front: numbers of the trials that no other is better than in every objective.
    """
    told = [row for row in rows if row.values]
    if len(board.metrics) < 2 or not told:
        return []
    return [_figure(board, told, front, other) for other in range(1, len(board.metrics))]


def _figure(
    board: Leaderboard, rows: Sequence[TrialRow], front: frozenset[int], other: int
) -> Figure:
    traces = scatter(
        [row for row in rows if row.number not in front],
        lambda row: short(row.values[0]),
        lambda row: short(row.values[other]),
    )
    traces.append(_front([row for row in rows if row.number in front], other, len(board.metrics)))
    layout = {
        "xaxis": axis(_title(board, 0)),
        "yaxis": axis(_title(board, other)),
        "hovermode": "closest",
    }
    return Figure(f"pareto-{other}", traces, layout, height=420)


def _front(rows: Sequence[TrialRow], other: int, objectives: int) -> Trace:
    ordered = sorted(rows, key=lambda row: row.values[0])
    # With three objectives the front is a surface, which a line would misrepresent.
    mode = "lines+markers" if objectives == 2 else "markers"
    return {
        "type": "scatter",
        "mode": mode,
        "name": "Pareto front",
        "x": [short(row.values[0]) for row in ordered],
        "y": [short(row.values[other]) for row in ordered],
        "customdata": [row.number for row in ordered],
        "marker": {"color": "@best", "size": 10, "symbol": "star"},
        "line": {"color": "@best", "width": 1.5, "dash": "dot"},
    }


def _title(board: Leaderboard, objective: int) -> str:
    better = "lower" if board.directions[objective] == "minimize" else "higher"
    return f"{board.metrics[objective]} ({better} is better)"
