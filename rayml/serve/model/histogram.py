"""Counts of values by size, at the cost of a bisection for each."""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """A histogram as Prometheus has them.

    Attributes:
        bounds: upper bounds of the buckets, in ascending order, each included in its bucket.
        counts: values of each bucket, and last of those above all bounds.
        sum: of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
