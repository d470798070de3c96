"""Where the time went: seconds by purpose, and trials in progress over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from rayml.search.charts.style import Figure, Trace, axis, duration, percent, short
from rayml.search.results.leaderboard import TrialRow

# Of the wall-clock; the others are added over the workers.
_WALL_CLOCK = {
    "start": "start-up",
    "startup": "start-up",
    "data": "data",
    "first_epoch": "from the start until the first epoch was trained",
    "total": "the whole sweep",
}
_WORKERS = {"train": "training", "eval": "evaluation", "idle": "waiting", "wait": "waiting"}
_COLORS = {
    "training": "@complete",
    "evaluation": "@best",
    "waiting": "@pruned",
    "start-up": "@running",
    "data": "@infeasible",
}
_SPANS = 80
_PROGRESS_LAYOUT: dict[str, Any] = {
    "yaxis": axis("in progress", rangemode="tozero"),
    "yaxis2": axis(
        "ended",
        tickmode="auto",
        tickformat=",d",
        overlaying="y",
        side="right",
        rangemode="tozero",
        showgrid=False,
    ),
    "hovermode": "x",
    "margin": {"l": 60, "r": 60, "t": 14, "b": 44},
}


def timing_rows(timings: Mapping[str, float]) -> list[list[str]]:
    """What, whose seconds, how many; a name that is not known is shown as it is."""
    spent = sum(seconds for name, seconds in timings.items() if name in _WORKERS)
    rows = [
        [_WALL_CLOCK.get(name, name), "wall-clock", duration(seconds), ""]
        for name, seconds in timings.items()
        if name not in _WORKERS
    ]
    rows += [
        [_WORKERS[name], "workers", duration(seconds), percent(seconds / spent) if spent else ""]
        for name, seconds in timings.items()
        if name in _WORKERS
    ]
    return rows


def timings_figure(timings: Mapping[str, float]) -> Figure | None:
    """The workers' seconds as one bar; None where none were counted."""
    parts = {_WORKERS[name]: each for name, each in timings.items() if name in _WORKERS and each}
    if not parts:
        return None
    total = sum(parts.values())
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": [short(seconds)],
            "y": ["workers"],
            "text": [f"{name} {percent(seconds / total)}"],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "hovertext": [f"{name}: {duration(seconds)}"],
            "hoverinfo": "text",
            "marker": {"color": _COLORS[name]},
        }
        for name, seconds in parts.items()
    ]
    layout = {
        "barmode": "stack",
        "xaxis": axis("seconds, added over the workers"),
        "yaxis": {"visible": False, "fixedrange": True},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
    }
    return Figure("timings", bars, layout, height=190)


def progress_figure(rows: Sequence[TrialRow]) -> Figure | None:
    """Trials in progress, averaged over short spans, and trials that ended."""
    begun = [row.started for row in rows if row.started is not None]
    ended = [row.ended for row in rows if row.ended is not None]
    if not begun or not ended or max(ended) <= min(begun):
        return None
    first, last = min(begun), max(ended)
    span = (last - first).total_seconds() / _SPANS
    busy = [0.0] * _SPANS
    over = [0] * _SPANS
    for row in rows:
        if row.started is None or row.started >= last:
            continue
        start = (row.started - first).total_seconds() / span
        end = ((row.ended or last) - first).total_seconds() / span
        for index in range(int(start), min(math.ceil(end), _SPANS)):
            busy[index] += min(end, index + 1) - max(start, index)
        if row.ended is not None:
            over[min(int(end), _SPANS - 1)] += 1
    unit, size = _unit(_SPANS * span)
    at = [short(span * (index + 1) / size) for index in range(_SPANS)]
    layout = {**_PROGRESS_LAYOUT, "xaxis": axis(f"{unit} since the first trial")}
    traces = _progress_traces(at, busy, list(accumulate(over)))
    return Figure("progress", traces, layout, height=300)


def _unit(seconds: float) -> tuple[str, float]:
    """The unit of a time axis, and its seconds."""
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def _progress_traces(
    at: Sequence[float], busy: Sequence[float], done: Sequence[int]
) -> list[Trace]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": list(at),
            "y": [short(count) for count in counts],
            "yaxis": axis_name,
            "hoverinfo": "x+y+name",
            "line": {"color": color, "width": 2, "shape": "hvh"},
        }
        for name, counts, color, axis_name in (
            ("in progress", busy, "@running", "y"),
            ("ended", done, "@complete", "y2"),
        )
    ]
