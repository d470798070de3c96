"""Parallel coordinates: each trial a line through its parameters, coloured by its rank.

They are drawn as ordinary lines: the library's own need WebGL, which a remote desktop or a printer
often lacks, and have no place for a parameter that a trial was not given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, IntDistribution

from rayml.search.charts.style import (
    Figure,
    Trace,
    choice_labels,
    is_log,
    jitter,
    literal,
    middle,
    number,
    numeric,
    short,
    value_text,
)
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.search.results.record import Searched

MOST = 14
LINES = 400
_WIDTH = 84
# Up to which share of the trials, its name, its colour, the width and opacity of its lines.
_BANDS = (
    (0.1, "best tenth", "@best", 2.2, 0.95),
    (0.25, "best quarter", "@complete", 1.5, 0.8),
    (0.5, "better half", "@running", 1.1, 0.5),
    (1.0, "the others", "@pruned", 0.9, 0.35),
)


@dataclass(frozen=True)
class _Axis:
    """One vertical axis: where a trial passes, and the texts beside it by place."""

    title: str
    place: Callable[[TrialRow], float | None]
    low: float
    high: float
    ticks: dict[float, str]
    spread: bool = False

    def height(self, row: TrialRow) -> float:
        """From 0 to 1; a trial without this parameter passes below."""
        found = self.place(row)
        if found is None:
            return -0.14
        room = self.high - self.low
        moved = found + (0.3 * jitter(row.number) if self.spread else 0.0)
        return short(min(max((moved - self.low) / room, -0.04), 1.04)) if room else 0.5


def parallel_figure(
    board: Leaderboard, rows: Sequence[TrialRow], searched: Sequence[Searched]
) -> Figure | None:
    """Lines of finished and pruned trials; None where they are fewer than two.

    Args:
        board: of the sweep.
        rows: trials that are drawn.
        searched: parameters that get an axis.
    """
    sign = 1.0 if board.direction == "minimize" else -1.0
    valued = [
        (r.value, r) for r in rows if r.value is not None and r.state in {"COMPLETE", "PRUNED"}
    ]
    if len(valued) < 2 or not searched:
        return None
    ranked = [row for _, row in sorted(valued, key=lambda each: (sign * each[0], each[1].number))]
    axes = [_axis(each, ranked) for each in searched]
    axes += _outcomes(board, ranked)
    # The best lie above the others.
    traces = list(reversed(list(_lines(axes, ranked))))
    width = _WIDTH * len(axes)
    return Figure("parallel", traces, _layout(axes, ranked), height=460, least_width=width)


def _lines(axes: Sequence[_Axis], ranked: Sequence[TrialRow]) -> Iterator[Trace]:
    start = 0
    for share, name, color, width, opacity in _BANDS:
        end = math.ceil(share * len(ranked))
        members = ranked[start:end]
        start = end
        if not members:
            continue
        places = range(len(axes))
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": [x for _ in members for x in (*places, None)],
            "y": [y for row in members for y in (*(axis.height(row) for axis in axes), None)],
            "customdata": [n for r in members for n in (*([r.number] * len(axes)), None)],
            "opacity": opacity,
            "line": {"color": color, "width": width},
        }


def _layout(axes: Sequence[_Axis], ranked: Sequence[TrialRow]) -> dict[str, Any]:
    lacking = any(axis.place(row) is None for axis in axes for row in ranked)
    return {
        "xaxis": {
            "side": "top",
            "tickvals": list(range(len(axes))),
            "ticktext": [literal(_shorten(axis.title)) for axis in axes],
            "tickangle": -18,
            "range": [-0.75, len(axes) - 0.7],
            "showgrid": False,
            "showline": False,
            "linecolor": "rgba(0,0,0,0)",
            "zeroline": False,
            "fixedrange": True,
            "ticks": "",
        },
        "yaxis": {
            "visible": False,
            "range": [-0.2 if lacking else -0.08, 1.06],
            "fixedrange": True,
        },
        "shapes": [
            {
                "type": "line",
                "x0": index,
                "x1": index,
                "y0": -0.04,
                "y1": 1.04,
                "line": {"color": "@quiet", "width": 1},
                "layer": "below",
            }
            for index in range(len(axes))
        ],
        "annotations": [
            *_texts(axes),
            *(_lacking(axes, ranked) if lacking else ()),
        ],
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": -0.02,
            "yanchor": "top",
            "traceorder": "reversed",
        },
        "margin": {"l": 20, "r": 30, "t": 70, "b": 20},
    }


def _texts(axes: Sequence[_Axis]) -> Iterator[dict[str, Any]]:
    for index, axis in enumerate(axes):
        room = (axis.high - axis.low) or 1.0
        for place, text in axis.ticks.items():
            height = (place - axis.low) / room if axis.high > axis.low else 0.5
            yield _annotation(index, height, text)


def _lacking(axes: Sequence[_Axis], ranked: Sequence[TrialRow]) -> Iterator[dict[str, Any]]:
    for index, axis in enumerate(axes):
        if any(axis.place(row) is None for row in ranked):
            yield _annotation(index, -0.14, "not set")


def _annotation(index: int, height: float, text: str) -> dict[str, Any]:
    return {
        "x": index,
        "y": short(height),
        "text": literal(text if len(text) <= 14 else f"{text[:13]}…"),
        "showarrow": False,
        "xanchor": "right",
        "xshift": -3,
        "font": {"size": 10.5},
        "bgcolor": "@veil",
        "borderpad": 0,
    }


def _axis(searched: Searched, rows: Sequence[TrialRow]) -> _Axis:
    distribution = searched.distribution

    def place(row: TrialRow) -> float | None:
        if searched.key not in row.params:
            return None
        found = numeric(row.params[searched.key], distribution)
        return math.log10(found) if found is not None and is_log(distribution) else found

    if isinstance(distribution, CategoricalDistribution):
        labels = {float(index): label for index, label in enumerate(choice_labels(distribution))}
        return _Axis(searched.key, place, -0.5, len(labels) - 0.5, labels, spread=True)
    present = [found for found in map(place, rows) if found is not None]
    low, high = min(present, default=0.0), max(present, default=0.0)
    whole = isinstance(distribution, IntDistribution)
    return _Axis(searched.key, place, low, high, _ticks(present, is_log(distribution), whole=whole))


def _ticks(present: Sequence[float], log: bool, *, whole: bool) -> dict[float, str]:
    if not present:
        return {}
    low, high = min(present), max(present)
    if log:
        near = 0.12 * (high - low)
        inside = range(math.ceil(low + near), math.floor(high - near) + 1)
        return {place: f"{10**place:.3g}" for place in (low, *map(float, inside), high)}
    values = sorted(set(present))
    places = (
        values if whole and len(values) <= 8 else [low + (high - low) * i / 4 for i in range(5)]
    )
    return {place: value_text(round(place) if whole else float(f"{place:.3g}")) for place in places}


def _outcomes(board: Leaderboard, rows: Sequence[TrialRow]) -> Iterator[_Axis]:
    epochs = [float(row.epochs) for row in rows]
    ticks = _ticks(epochs, log=False, whole=True)
    yield _Axis(f"{board.unit}s", lambda row: float(row.epochs), min(epochs), max(epochs), ticks)
    broken = [row.violation for row in rows if math.isfinite(row.violation)]
    if any(broken):
        ticks = _ticks(broken, log=False, whole=False)
        yield _Axis("violation", _violation, min(broken), max(broken), ticks)
    values = [row.value for row in rows if row.value is not None]
    low, high = middle(values, board.direction) or (min(values), max(values))
    places = [low + (high - low) * i / 4 for i in range(5)] if high > low else [low]
    shown = {place: number(float(f"{place:.4g}")) for place in places}
    yield _Axis(board.metric, lambda row: row.value, low, high, shown)


def _violation(row: TrialRow) -> float | None:
    # Of a quantity that is undefined it is infinite.
    return row.violation if math.isfinite(row.violation) else None


def _shorten(key: str, limit: int = 16) -> str:
    """The last part of a dotted key, which is mostly unique."""
    leaf = key.rpartition(".")[2] if len(key) > limit else key
    return leaf if len(leaf) <= limit else f"{leaf[: limit - 1]}…"
