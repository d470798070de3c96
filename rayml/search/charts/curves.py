"""Learning curves: the value by epoch, and where pruning ended it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rayml.search.charts.selection import EPOCHS, Selection, spread
from rayml.search.charts.style import MARKS, Figure, Trace, axis, kind, literal, middle, short
from rayml.search.results.leaderboard import Leaderboard, TrialRow

_OPACITY = {"PRUNED": 0.45, "RUNNING": 0.8, "INFEASIBLE": 0.5, "COMPLETE": 0.6, "FAIL": 0.7}


def curves_figure(board: Leaderboard, drawn: Selection, best: int | None) -> Figure | None:
    """The curves by state, the best trial's above all; None if no epoch was finished.

    Args:
        board: of the sweep.
        drawn: trials whose curves are drawn.
        best: number of the trial that is emphasised.
    """
    rows = [row for row in drawn.rows if row.curve]
    if not rows:
        return None
    traces = []
    for name, mark in MARKS.items():
        members = [row for row in rows if kind(row) == name and row.number != best]
        if members:
            traces.append(_lines(members, mark.label, mark.color, _OPACITY[name], 1.2))
    traces += _ends([row for row in rows if row.state == "PRUNED"])
    traces += [
        _lines([row], f"trial {best}, the best", "@best", 1.0, 3.0)
        for row in rows
        if row.number == best
    ]
    values = [value for row in rows for value, _ in row.curve.values()]
    span = middle(values, board.direction)
    y = axis(board.metric, **({} if span is None else {"range": list(span)}))
    longest = max(len(row.curve) for row in rows)
    margin = 0.02 * longest + 0.1
    x = axis(board.unit, range=[1 - margin, longest + margin])
    if longest <= 12:
        x["dtick"] = 1
    return Figure("curves", traces, {"xaxis": x, "yaxis": y, "hovermode": "closest"}, height=420)


def _lines(rows: Iterable[TrialRow], name: str, color: str, opacity: float, width: float) -> Trace:
    """Many curves as one trace, which is far faster to draw than a trace for each."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for row in rows:
        epochs = thin(row)
        # A single point would be no line.
        x += [*epochs, None]
        y += [*(short(row.curve[epoch][0]) for epoch in epochs), None]
        numbers += [row.number] * len(epochs) + [None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": literal(name),
        "x": x,
        "y": y,
        "customdata": numbers,
        "opacity": opacity,
        "line": {"color": color, "width": width},
    }


def _ends(rows: Sequence[TrialRow]) -> list[Trace]:
    """Where each pruned curve stops; a curve of one epoch is seen by it alone."""
    if not rows:
        return []
    mark = MARKS["PRUNED"]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "pruned here",
            "x": [max(row.curve) for row in rows],
            "y": [short(row.curve[max(row.curve)][0]) for row in rows],
            "customdata": [row.number for row in rows],
            "marker": {"color": mark.color, "symbol": "line-ew-open", "size": 9, "opacity": 0.8},
        }
    ]


def thin(row: TrialRow) -> list[int]:
    """The epochs of a curve that are drawn: every n-th, the first and the best."""
    epochs = list(row.curve)
    if len(epochs) <= EPOCHS:
        return epochs
    best = [] if row.epoch is None else [row.epoch]
    return sorted({epochs[0], *best, *spread(epochs, EPOCHS - 2)})
