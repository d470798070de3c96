"""Which trial is better: the one order that the winner, the leaderboard and the views follow.

1. Trials that have ended and keep all constraints: those that trained to their end first, of
   these the Pareto front first, each by the first objective, then by the next ones. So the
   winner is the trial of the front that is best by the first objective.
2. Those that break a constraint, by how far.
3. Trials that still run, in the same order. 4. Trials that failed.

With one objective and no constraint it is the plain order by value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rayml.search.problem.pareto import pareto_front
from rayml.types import Direction

TrialState = Literal["COMPLETE", "PRUNED", "RUNNING", "FAIL"]
Rank = tuple[int, float, bool, bool, tuple[float, ...], int]

_KEPT, _BROKEN, _RUNNING, _FAILED = range(4)


@dataclass(frozen=True, slots=True)
class Merit:
    """What the rank of a trial follows from.

    Attributes:
        number: in the study; of equal trials the earlier one is better.
        state: COMPLETE, PRUNED, RUNNING or FAIL.
        values: of the objectives, the first one first; None where undefined.
        violation: of the constraints; 0 for a feasible trial.
    """

    number: int
    state: TrialState
    values: tuple[float | None, ...]
    violation: float = 0.0


def rank(merit: Merit, directions: Sequence[Direction], *, on_front: bool = False) -> Rank:
    """A key that sorts trials from the best to the worst.

    Without `on_front` the best trial is still first: whichever trial is best by the first
    objective, and among equals by the next, is on the front.

    Args:
        merit: of the trial.
        directions: of the objectives.
        on_front: whether it is one of `front`.
    """
    return (
        _tier(merit),
        merit.violation,
        merit.state != "COMPLETE",
        not on_front,
        tuple(map(_loss, merit.values, directions)),
        merit.number,
    )


def front(merits: Sequence[Merit], directions: Sequence[Direction]) -> set[int]:
    """Numbers of the Pareto front: of the feasible trials that trained to their end."""
    points: list[tuple[int, list[float]]] = []
    for each in merits:
        values = [value for value in each.values if value is not None and not math.isnan(value)]
        kept = each.state == "COMPLETE" and each.violation <= 0
        if kept and len(values) == len(directions):
            points.append((each.number, values))
    found = pareto_front([values for _, values in points], directions)
    return {points[index][0] for index in found}


def _tier(merit: Merit) -> int:
    if merit.state == "FAIL":
        return _FAILED
    if merit.state == "RUNNING":
        return _RUNNING
    return _BROKEN if merit.violation > 0 else _KEPT


def _loss(value: float | None, direction: Direction) -> float:
    if value is None or math.isnan(value):
        return math.inf
    return value if direction == "minimize" else -value
