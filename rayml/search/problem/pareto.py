"""The Pareto front: the points that no other point beats in every objective at once.

A point dominates another if it is nowhere worse and somewhere better (Deb, Multi-Objective
Optimization using Evolutionary Algorithms, 2001, definition 2.5). Equal points do not dominate
each other, so all of them are on the front.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayml.types import Direction

Point = Sequence[float]


def dominates(point: Point, other: Point, directions: Sequence[Direction]) -> bool:
    """Whether a point is nowhere worse than another and somewhere better."""
    return _below(_minimised(point, directions), _minimised(other, directions))


def pareto_front(points: Sequence[Point], directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other dominates, in ascending order.

    O(n log n) comparisons for one objective or two, O(n f) for more, f being the front's size.

    Args:
        points: each with a value an objective; none is NaN.
        directions: of the objectives.

    Raises:
        ValueError: a point has another number of values than there are objectives.
    """
    losses = [_minimised(point, directions) for point in points]
    front: list[int] = []
    # In lexicographic order only an earlier point can dominate a later one.
    for index in sorted(range(len(losses)), key=losses.__getitem__):
        # With two objectives the front falls in the second: its last point is the one to beat.
        rivals = front[-1:] if len(directions) <= 2 else front
        if not any(_below(losses[rival], losses[index]) for rival in rivals):
            front.append(index)
    return sorted(front)


def _minimised(point: Point, directions: Sequence[Direction]) -> tuple[float, ...]:
    return tuple(
        value if direction == "minimize" else -value
        for value, direction in zip(point, directions, strict=True)
    )


def _below(losses: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return losses != others and all(a <= b for a, b in zip(losses, others, strict=True))
