"""The confirmation: the best trials trained again over several seeds, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayml.search.charts.style import Figure, Trace, axis, literal, number, short
from rayml.search.results.confirmation import Confirmation, ConfirmedTrial


def confirmation_figure(confirmation: Confirmation) -> Figure:
    """Mean and interval of each candidate, its seeds or their folds as points."""
    ranked = list(reversed(_ranked(confirmation)))
    labels = [f"trial {each.number}" for each in ranked]
    seeds = [(index, value) for index, each in enumerate(ranked) for value in each.single]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "one seed" if confirmation.folds == 1 else "one fold of a seed",
            "x": [short(value) for _, value in seeds],
            "y": [index for index, _ in seeds],
            "customdata": [ranked[index].number for index, _ in seeds],
            "marker": {"color": "@pruned", "size": 6, "opacity": 0.7},
        }
    ]
    for name, color, members in (
        ("mean with 95 % interval", "@complete", {c.number for c in ranked}),
        ("the winner", "@best", {confirmation.winner}),
    ):
        chosen = [
            (index, each)
            for index, each in enumerate(ranked)
            if each.number in members and (each.number == confirmation.winner) == (color == "@best")
        ]
        traces.append(_intervals(name, color, chosen))
    layout: dict[str, Any] = {
        "xaxis": axis(confirmation.metric),
        "yaxis": {
            "tickvals": list(range(len(ranked))),
            "ticktext": [literal(label) for label in labels],
            "range": [-0.6, len(ranked) - 0.4],
            "automargin": True,
            "zeroline": False,
        },
    }
    return Figure("confirmation", traces, layout, height=130 + 36 * len(ranked))


def confirmation_rows(confirmation: Confirmation) -> list[list[str]]:
    """One line a candidate: trial, mean, interval, weights, seeds or their folds."""
    return [
        [
            f"{each.number} (winner)" if each.number == confirmation.winner else str(each.number),
            number(each.mean),
            f"{number(each.low)} to {number(each.high)}",
            f"{each.parameters:,}",
            ", ".join(number(value) for value in each.single),
        ]
        for each in _ranked(confirmation)
    ]


def _ranked(confirmation: Confirmation) -> list[ConfirmedTrial]:
    """The winner, then the others by their means."""
    sign = 1.0 if confirmation.direction == "minimize" else -1.0
    winner = confirmation.winner
    return sorted(confirmation.candidates, key=lambda c: (c.number != winner, sign * c.mean))


def _intervals(name: str, color: str, chosen: Sequence[tuple[int, ConfirmedTrial]]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [short(each.mean) for _, each in chosen],
        "y": [index for index, _ in chosen],
        "customdata": [each.number for _, each in chosen],
        "marker": {"color": color, "size": 11, "symbol": "diamond"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [short(max(each.high - each.mean, 0.0)) for _, each in chosen],
            "arrayminus": [short(max(each.mean - each.low, 0.0)) for _, each in chosen],
            "color": color,
            "thickness": 2,
            "width": 6,
        },
    }
