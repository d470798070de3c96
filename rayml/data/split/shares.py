"""Numbers of rows of each stratum that validate and test, so that the fractions hold overall.

Each stratum is rounded by itself, and keeps a row for each split if it has three. If many strata
round the same way, those that rounding moved most give or take a row until the total holds too:
100 classes of 7 rows would otherwise give 100 of 700 rows to a test split of 20 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SPLITS = 3
# Rounding may move the total so far before strata are adjusted.
_SLACK = 1


@dataclass(frozen=True, slots=True)
class Share:
    """Numbers of a stratum's rows that validate and test; the others train."""

    validation: int
    test: int


def share_rows(sizes: Sequence[int], validation: float, test: float) -> list[Share]:
    """Share out the rows of each stratum.

    Args:
        sizes: numbers of rows of the strata, in an order that depends on the rows alone.
        validation: fraction of all rows; 0 takes none.
        test: fraction of all rows; 0 takes none.

    Returns:
        The share of each stratum. A stratum of three rows or more has a row in each split whose
        fraction is not 0, and each stratum has a row that trains.
    """
    tested = _rounded(sizes, test, [0] * len(sizes), others=1 + bool(validation))
    validated = _rounded(sizes, validation, tested, others=1)
    return [Share(v, t) for v, t in zip(validated, tested, strict=True)]


def _rounded(
    sizes: Sequence[int], fraction: float, taken: Sequence[int], *, others: int
) -> list[int]:
    """Rows of one split by stratum; those `taken`, and `others` more, stay for other splits."""
    if not fraction:
        return [0] * len(sizes)
    rooms = [max(n - gone - others, 0) for n, gone in zip(sizes, taken, strict=True)]
    least = [min(int(n >= _SPLITS), room) for n, room in zip(sizes, rooms, strict=True)]
    found = [
        min(max(round(n * fraction), low), room)
        for n, low, room in zip(sizes, least, rooms, strict=True)
    ]
    off = sum(found) - round(sum(sizes) * fraction)
    if abs(off) <= _SLACK:
        return found
    step = -1 if off > 0 else 1
    moved = [step * (n * fraction - each) for n, each in zip(sizes, found, strict=True)]
    for at in sorted(range(len(sizes)), key=lambda i: -moved[i]):
        if off and least[at] <= found[at] + step <= rooms[at]:
            found[at] += step
            off += step
    return found
