"""The confirmation: the best trials trained again over several seeds, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic import FiniteFloat

from rayml.errors import SearchError
from rayml.search.report.style import Figure, Trace, axis, literal, number, short
from rayml.types import Direction

FILE = "confirm.json"


class Candidate(pydantic.BaseModel):
    """A trial that was trained again.

    Attributes:
        number: in the study.
        params: its searched values.
        parameters: count of its model's weights.
        values: one a seed.
        mean: of the values.
        low: of the 95 % bootstrap interval of the mean.
        high: likewise.
    """

    number: int
    params: dict[str, bool | int | float | str | None]
    parameters: int
    values: list[FiniteFloat]
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class Dropped(pydantic.BaseModel):
    """A trial that did not train to its end with every seed, and why."""

    number: int
    reason: str


class Confirmation(pydantic.BaseModel):
    """The content of `confirm.json`.

    Attributes:
        metric: that the values are of.
        direction: of the metric.
        winner: number of the chosen trial.
        reason: of the choice.
        seeds: that each candidate was trained with.
        candidates: the trials that trained to their end.
        failed: the other ones.
        ensemble: seeds whose models are kept together; None keeps one.
        test: metrics of the winner on the test split; None if it was not read.
    """

    metric: str
    direction: Direction
    winner: int
    reason: str
    seeds: list[int]
    candidates: list[Candidate]
    failed: list[Dropped] = []
    ensemble: list[int] | None = None
    test: dict[str, FiniteFloat | None] | None = None

    def ranked(self) -> Sequence[Candidate]:
        """The winner, then the others by their means."""
        sign = 1.0 if self.direction == "minimize" else -1.0
        return sorted(self.candidates, key=lambda c: (c.number != self.winner, sign * c.mean))


def read_confirmation(path: Path) -> Confirmation | None:
    """Read `confirm.json`; None if there is none.

    Raises:
        SearchError: it is not what a confirmation writes.
    """
    if not path.is_file():
        return None
    try:
        return Confirmation.model_validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        raise SearchError(
            f"a sweep's {FILE} is what its confirmation wrote ({error.errors()[0]['msg'].lower()})",
            value=str(path),
            remedy="Remove it, or confirm again",
        ) from error


def confirmation_figure(confirmation: Confirmation) -> Figure:
    """Mean and interval of each candidate, its seeds as points."""
    ranked = list(reversed(confirmation.ranked()))
    labels = [f"trial {each.number}" for each in ranked]
    seeds = [(index, value) for index, each in enumerate(ranked) for value in each.values]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "one seed",
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
    """One line a candidate: trial, mean, interval, weights, seeds."""
    return [
        [
            f"{each.number} (winner)" if each.number == confirmation.winner else str(each.number),
            number(each.mean),
            f"{number(each.low)} to {number(each.high)}",
            f"{each.parameters:,}",
            ", ".join(number(value) for value in each.values),
        ]
        for each in confirmation.ranked()
    ]


def _intervals(name: str, color: str, chosen: Sequence[tuple[int, Candidate]]) -> Trace:
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
