"""Measures how much slower than at rest this machine is; waits for Ray grow with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

# Start of a local Ray on a machine at rest (3 to 4 s on two cores).
_START_S = 4.0
# Waits grow by no more than this factor.
_MOST = 10.0
_measured = [1.0]


def slowness() -> float:
    """How many times as long as on a machine at rest a start takes now; 1 to 10.

    It is the larger of the load per core and of the last timed start of Ray over its usual time.
    """
    try:
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        waiting = 1.0
    return min(max(1.0, waiting, _measured[0]), _MOST)


@contextmanager
def timing_the_start() -> Iterator[None]:
    """Time a start of Ray, for `slowness`."""
    begun = perf_counter()
    yield
    _measured[0] = (perf_counter() - begun) / _START_S
