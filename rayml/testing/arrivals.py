"""Plans of an open loop: the seconds from its start at which requests are due, in order.

An open loop sends by its plan whether or not earlier requests have been answered, as independent
clients do, so that the waiting behind a slow server is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def steady(rate: float, seconds: float) -> list[float]:
    """Requests at even distances, `rate` a second."""
    return [number / rate for number in range(round(rate * seconds))]


def poisson(rate: float, seconds: float, *, seed: int) -> list[float]:
    """Requests of many independent clients, `rate` a second on average."""
    draw = np.random.default_rng(seed)
    # Given their number, the times of a Poisson process are uniform.
    times: list[float] = np.sort(draw.uniform(0, seconds, draw.poisson(rate * seconds))).tolist()
    return times


def from_counts(counts: Sequence[int], *, seconds: float, seed: int) -> list[float]:
    """Requests at random times of intervals in which they were counted.

    Args:
        counts: number of requests in each interval.
        seconds: length of an interval in the replay; a smaller one compresses time.
        seed: seed of the random times.
    """
    draw = np.random.default_rng(seed)
    intervals = np.repeat(np.arange(len(counts)), counts)
    times: list[float] = np.sort((intervals + draw.random(len(intervals))) * seconds).tolist()
    return times


def compressed(times: Sequence[float], factor: float) -> list[float]:
    """Recorded times, from the first on, with time running `factor` times as fast."""
    start = min(times, default=0.0)
    return [(time - start) / factor for time in sorted(times)]
