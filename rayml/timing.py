"""Measures the seconds of each stage of a command."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Adds up wall-clock seconds by stage.

    Args:
        started: `time.perf_counter()` at the start of the total; None is now.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds inside the context for a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - begun)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def rows(self) -> Mapping[str, float]:
        """Seconds by stage in the order of their first run; `other` is outside of all stages."""
        other = self.total - sum(self._stages.values())
        return {**self._stages, "other": max(other, 0.0), "total": self.total}

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.rows().items())
