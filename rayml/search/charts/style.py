"""What the figures share: marks by state, axes, number formats.

A figure is what plotly.js draws, in plain containers. A colour `@name` is the variable `--name`
of the page's style sheet, which holds it for light and for dark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from optuna.distributions import CategoricalDistribution

from rayml.search.results.leaderboard import TrialRow
from rayml.search.space.parameter import Distribution, Scalar

Trace = dict[str, Any]
_ROBUST = 3.0
_GOLDEN = 0.618033988749895


@dataclass(frozen=True)
class Figure:
    """One chart of the page.

    Attributes:
        name: unique in the page; part of its element's id.
        data: traces of plotly.js.
        layout: of plotly.js, without what the page's theme sets.
        height: in pixels.
        least_width: in pixels; a narrower screen scrolls sideways.
    """

    name: str
    data: Sequence[Trace]
    layout: Mapping[str, Any]
    height: int = 360
    least_width: int = 0


@dataclass(frozen=True)
class Mark:
    """How trials of one kind are drawn."""

    label: str
    color: str
    symbol: str
    size: int
    opacity: float


# In drawing order: what matters more lies above.
MARKS = {
    "PRUNED": Mark("pruned", "@pruned", "triangle-down", 7, 0.65),
    "RUNNING": Mark("in progress", "@running", "diamond-open", 8, 1.0),
    "INFEASIBLE": Mark("breaks a constraint", "@infeasible", "circle-open", 8, 0.9),
    "COMPLETE": Mark("finished", "@complete", "circle", 7, 0.85),
    "FAIL": Mark("failed", "@failed", "x", 7, 0.9),
}


def kind(row: TrialRow) -> str:
    """The key of a trial's mark."""
    return "INFEASIBLE" if row.state == "COMPLETE" and row.violation > 0 else row.state


def scatter(
    rows: Iterable[TrialRow],
    x: Callable[[TrialRow], Any],
    y: Callable[[TrialRow], Any],
    **more: Any,
) -> list[Trace]:
    """One trace of points for each kind of trial; a click on a point shows its trial."""
    groups: dict[str, list[TrialRow]] = {}
    for row in rows:
        groups.setdefault(kind(row), []).append(row)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": mark.label,
            "x": [x(row) for row in groups[name]],
            "y": [y(row) for row in groups[name]],
            "customdata": [row.number for row in groups[name]],
            "marker": {
                "color": mark.color,
                "symbol": mark.symbol,
                "size": mark.size,
                "opacity": mark.opacity,
            },
            **more,
        }
        for name, mark in MARKS.items()
        if name in groups
    ]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title, taken literally."""
    return {"title": {"text": literal(title)}, "automargin": True, **more}


def log_axis(title: str, low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis around a range, with ticks at powers of ten, or at 1, 2 and 5 of them."""
    start, end = math.log10(low), math.log10(high)
    steps = (1,) if end - start > 2 else (1, 2, 5)
    exponents = range(math.floor(start), math.ceil(end) + 1)
    ticks = [float(f"{step}e{exponent}") for exponent in exponents for step in steps]
    margin = 0.04 * (end - start) + 0.01
    shown = [tick for tick in ticks if start - margin <= math.log10(tick) <= end + margin]
    texts = [f"{tick:g}" for tick in shown]
    around = [start - margin, end + margin]
    return axis(title, type="log", range=around, tickvals=shown, ticktext=texts)


def literal(text: str) -> str:
    """Text for plotly.js, which reads some HTML."""
    return escape(text, quote=False)


def middle(values: Sequence[float], direction: str) -> tuple[float, float] | None:
    """The range of an axis where few values lie far from all others.

    Returns:
        From the best value to the 90th percentile, or None where all values fit an axis well.
    """
    if len(values) < 10:
        return None
    ordered = sorted(values, reverse=direction == "maximize")
    best, usual, worst = ordered[0], ordered[math.ceil(0.9 * len(ordered)) - 1], ordered[-1]
    if usual == best or abs(worst - best) <= _ROBUST * abs(usual - best):
        return None
    low, high = sorted((best, usual))
    margin = 0.08 * (high - low)
    return low - margin, high + margin


def short(value: float) -> float:
    """A number with the six digits that a screen can show."""
    return float(f"{value:.6g}")


def number(value: float | None) -> str:
    """A number as text, a whole one with all its digits; nothing for none."""
    if value is None:
        return ""
    whole = math.isfinite(value) and value == round(value) and abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:.5g}"


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "under 1 %"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def value_text(value: Scalar) -> str:
    """A parameter's value as text."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def choice_labels(distribution: CategoricalDistribution) -> list[str]:
    """A text for each choice; strings are quoted where 1 and "1" are both choices."""
    labels = [value_text(choice) for choice in distribution.choices]
    if len(set(labels)) < len(labels):
        labels = [json.dumps(choice) for choice in distribution.choices]
    return [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]


def is_log(distribution: Distribution) -> bool:
    """Whether a parameter is searched by its logarithm."""
    return not isinstance(distribution, CategoricalDistribution) and distribution.log


def numeric(value: Scalar, distribution: Distribution) -> float | None:
    """The place of a value on a parameter's axis: a choice by its index.

    A value that the space no longer holds, as of a sweep whose space was changed, has none.
    """
    if isinstance(distribution, CategoricalDistribution):
        for index, choice in enumerate(distribution.choices):
            if type(choice) is type(value) and choice == value:
                return float(index)
        return None
    if isinstance(value, str | bool) or value is None:
        return None
    return None if is_log(distribution) and value <= 0 else short(value)


def jitter(number: int) -> float:
    """A shift between -1 and 1 that keeps equal choices apart, the same on every run."""
    return 2 * ((number * _GOLDEN) % 1.0) - 1
