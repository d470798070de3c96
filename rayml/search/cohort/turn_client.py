"""A cohort's side of the turns: its worker waits until it may speak with the study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

# Seconds between questions; the longer the wait already is, the less a later answer costs.
_FIRST, _LONGEST = 0.002, 0.1


class TurnClient:
    """Waits for a cohort's turns with the study.

    Args:
        cohort: its number.
        study: handle of the study's actor; None for a study without turns, where nothing waits.
    """

    def __init__(self, cohort: int, study: Any | None) -> None:
        self._cohort = cohort
        self._study = study
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn while the context lasts; contexts within it add nothing.

        An error leaves it taken: the worker that goes on with the cohort then has it, or the
        driver ends it for a cohort that no one goes on with.
        """
        if self._study is None or self._taken:
            yield
            return
        wait = _FIRST
        while not ray.get(self._study.take_turn.remote(self._cohort)):
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST)
        self._taken = True
        yield
        self._taken = False
        ray.get(self._study.end_turn.remote(self._cohort))

    def leave(self) -> None:
        """End the cohort's turns."""
        if self._study is not None:
            ray.get(self._study.leave.remote(self._cohort))


ANY_TIME = TurnClient(0, None)
