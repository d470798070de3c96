"""Slices: the value by one parameter at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, IntDistribution

from rayml.search.charts.style import (
    Figure,
    axis,
    choice_labels,
    is_log,
    jitter,
    literal,
    log_axis,
    middle,
    numeric,
    scatter,
    short,
)
from rayml.search.results.leaderboard import Leaderboard, TrialRow
from rayml.search.results.record import Searched

MOST = 24
_SPREAD = 0.25


def slice_figures(
    board: Leaderboard, rows: Sequence[TrialRow], searched: Sequence[Searched]
) -> list[Figure]:
    """One small figure a parameter, over the trials that have it and a value."""
    valued = [row for row in rows if row.value is not None]
    figures = []
    for index, each in enumerate(searched):
        members = [
            row
            for row in valued
            if each.key in row.params
            and numeric(row.params[each.key], each.distribution) is not None
        ]
        if members:
            figures.append(_figure(board, members, each, index))
    return figures


def _figure(board: Leaderboard, rows: Sequence[TrialRow], searched: Searched, index: int) -> Figure:
    distribution = searched.distribution

    def place(row: TrialRow) -> float | None:
        found = numeric(row.params[searched.key], distribution)
        if found is not None and isinstance(distribution, CategoricalDistribution):
            return short(found + _SPREAD * jitter(row.number))
        return found

    def value(row: TrialRow) -> float | None:
        return None if row.value is None else short(row.value)

    traces = scatter(rows, place, value)
    y = axis(board.metric)
    span = middle([row.value for row in rows if row.value is not None], board.direction)
    if span is not None:
        y["range"] = list(span)
    layout = {"xaxis": _x_axis(searched, rows), "yaxis": y, "showlegend": False}
    return Figure(f"slice-{index}", traces, layout, height=280)


def _x_axis(searched: Searched, rows: Sequence[TrialRow]) -> dict[str, Any]:
    distribution = searched.distribution
    if isinstance(distribution, CategoricalDistribution):
        labels = choice_labels(distribution)
        return axis(
            searched.key,
            tickvals=list(range(len(labels))),
            ticktext=[literal(label) for label in labels],
            range=[-0.5, len(labels) - 0.5],
            zeroline=False,
        )
    found = sorted({float(row.params[searched.key]) for row in rows})  # type: ignore[arg-type]
    if is_log(distribution):
        return log_axis(searched.key, found[0], found[-1])
    if isinstance(distribution, IntDistribution) and len(found) <= 8:
        return axis(searched.key, tickvals=found, tickformat="d")
    return axis(searched.key)
