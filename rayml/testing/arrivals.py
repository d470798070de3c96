"""When the requests of an open loop are due: seconds after its start, in order.

An open loop sends by such a plan whether or not earlier requests have been answered, as
independent clients do, so that a server which falls behind is charged for all who wait.
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
    # Given their number, the moments of a Poisson process are uniform.
    times: list[float] = np.sort(draw.uniform(0, seconds, draw.poisson(rate * seconds))).tolist()
    return times


def from_counts(counts: Sequence[int], *, seconds: float, seed: int) -> list[float]:
    """Requests at random moments of intervals in which they were counted.

    Args:
        counts: requests of one interval after the other.
        seconds: of an interval in the replay; less than it lasted compresses time.
        seed: of the moments.
    """
    draw = np.random.default_rng(seed)
    intervals = np.repeat(np.arange(len(counts)), counts)
    times: list[float] = np.sort((intervals + draw.random(len(intervals))) * seconds).tolist()
    return times


def compressed(times: Sequence[float], factor: float) -> list[float]:
    """Recorded moments, from the first on, with time running `factor` times as fast."""
    start = min(times, default=0.0)
    return [(time - start) / factor for time in sorted(times)]
