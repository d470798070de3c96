"""How many lanes a cohort holds: measured on the structure at hand, decided by a policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

# A size is taken if it trains its lanes at least so much faster than half of it.
_GAIN = 1.05
# Of the memory that is free, what the tensors of a cohort may take.
_MEMORY_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Measured:
    """One size of a cohort.

    Attributes:
        lanes: their number.
        seconds: of a training step of all of them.
        bytes: that the step held at its peak.
    """

    lanes: int
    seconds: float
    bytes: int

    @property
    def pace(self) -> float:
        """Lane-steps a second."""
        return self.lanes / self.seconds


@dataclass(frozen=True, slots=True)
class Capacity:
    """The chosen size, and why in words that follow "a cohort trains"."""

    lanes: int
    reason: str


def choose_capacity(measured: list[Measured], memory: int) -> Capacity | None:
    """Decide whether a cohort's size is found, or a larger one is to be measured.

    Args:
        measured: sizes so far, each twice the one before.
        memory: bytes that a cohort may take.

    Returns:
        None while doubling still pays and fits.
    """
    best = max(measured, key=lambda each: each.pace)
    last = measured[-1]
    if 2 * last.bytes > memory:
        return _capacity(best, measured, f"{memory / 2**20:.0f} MiB of memory hold no more")
    # One model has a loop of its own, so that two lanes alone would tell little.
    if len(measured) > 2 and last.pace < _GAIN * measured[-2].pace:
        return _capacity(best, measured, f"{last.lanes} together are no faster")
    return None


def measure_capacity(
    step: Callable[[int], tuple[Callable[[], None], int]], most: int, memory: int
) -> Capacity:
    """Measure ever larger cohorts until one is no faster, does not fit, or is the largest wanted.

    Args:
        step: for a number of lanes what runs training steps, and the bytes that one holds.
        most: lanes that are wanted at most.
        memory: bytes that a cohort may take.
    """
    measured: list[Measured] = []
    for lanes in _sizes(most):
        run, held = step(lanes)
        measured.append(Measured(lanes, _seconds(run), held))
        if chosen := choose_capacity(measured, memory):
            return chosen
    best = max(measured, key=lambda each: each.pace)
    return _capacity(best, measured)


def free_memory(device: torch.device) -> int:
    """Bytes that a cohort may take of a device's free memory."""
    if device.type == "cuda":
        return int(_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(_MEMORY_SHARE * 1024 * int(line.split()[1]))
    return 2**30


def _capacity(best: Measured, measured: list[Measured], limit: str = "") -> Capacity:
    gain = best.pace / measured[0].pace
    together = f"{best.lanes} trials together, {gain:.1f} times as fast as one by one"
    reason = together if best.lanes > 1 else "trials one by one"
    return Capacity(best.lanes, f"{reason}; {limit}" if limit else reason)


def _sizes(most: int) -> Iterator[int]:
    lanes = 1
    while lanes < most:
        yield lanes
        lanes *= 2
    yield most


def _seconds(run: Callable[[], None], times: int = 3) -> float:
    run()  # the first one allocates
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
