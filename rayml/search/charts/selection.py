"""Which trials a figure draws when there are too many of them, by rules that the page states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rayml.search.results.leaderboard import TrialRow

T = TypeVar("T")

POINTS = 2000
CURVES = 200
EPOCHS = 120


@dataclass(frozen=True)
class Selection:
    """Trials that are drawn.

    Attributes:
        rows: in order of their numbers.
        total: that there are.
    """

    rows: Sequence[TrialRow]
    total: int

    def note(self, what: str) -> str:
        """The rule in words; empty where all are drawn."""
        if len(self.rows) == self.total:
            return ""
        return (
            f"{len(self.rows):,} of {self.total:,} {what} are drawn: the best ones, and of the"
            " others every n-th in order of their numbers."
        )


def select(ranked: Sequence[TrialRow], limit: int, keep: Iterable[int] = ()) -> Selection:
    """At most `limit` trials: those to keep, the best fifth of the limit, then every n-th.

    Args:
        ranked: trials from the best to the worst.
        limit: that is drawn at most.
        keep: numbers that are drawn first.
    """
    if len(ranked) <= limit:
        return Selection(sorted(ranked, key=lambda row: row.number), len(ranked))
    wanted = set(keep)
    kept = [row for row in ranked if row.number in wanted][:limit]
    best = [row for row in ranked if row.number not in wanted][: limit // 5]
    chosen = (kept + best)[:limit]
    taken = {row.number for row in chosen}
    others = sorted((r for r in ranked if r.number not in taken), key=lambda row: row.number)
    chosen += spread(others, limit - len(chosen))
    return Selection(sorted(chosen, key=lambda row: row.number), len(ranked))


def spread(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` items at equal distances, the last one among them."""
    if limit <= 0:
        return []
    if len(items) <= limit:
        return list(items)
    return [items[(index + 1) * len(items) // limit - 1] for index in range(limit)]
