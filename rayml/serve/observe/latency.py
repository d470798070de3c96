"""Steps of latency, so that one histogram of requests serves both of its readers.

`/metrics` shows few steps, and the guards of a canary need many. A request is counted by all of
them at once, and each reader adds up what lies between its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

SHOWN_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds that `/metrics` shows."""

GUARDED_S = tuple(0.0005 * 1.15**n for n in range(84))
"""Upper bounds that guards compare by: from 0.5 ms to 56 s, each 15 % above the one before."""

ALL_S = tuple(sorted({*SHOWN_S, *GUARDED_S}))
"""Upper bounds that requests are counted by."""


def regrouped(counts: Sequence[int], bounds: Sequence[float]) -> tuple[int, ...]:
    """Counts by some of the bounds.

    Args:
        counts: by `ALL_S`, and last of those above all bounds.
        bounds: some of `ALL_S`, in ascending order.

    Returns:
        The counts by `bounds`, and last of those above them.
    """
    ends = [0, *(bisect_left(ALL_S, bound) + 1 for bound in bounds), len(counts)]
    return tuple(sum(counts[start:end]) for start, end in pairwise(ends))
