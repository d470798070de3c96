"""Feeds trackers from the study while a sweep runs, apart from all that trains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from rayml.search.problem.trials import Curve, Progress
from rayml.search.tracking.tracker import Tracker

_INTERVAL = 1.0
_log = logging.getLogger(__name__)


@contextmanager
def recording(study: Any, trackers: Sequence[Tracker]) -> Iterator[None]:
    """Record each trial soon after it has finished, from a thread of its own.

    The context ends when all that finished is recorded. A tracker that fails is left out from
    then on, with a warning; the sweep goes on.
    """
    if not trackers:
        yield
        return
    over = threading.Event()
    alive = list(trackers)
    recorder = threading.Thread(target=_record, args=(study, alive, over), daemon=True)
    recorder.start()
    finished = False
    try:
        yield
        finished = True
    finally:
        over.set()
        recorder.join()
        for tracker in list(alive):
            _guarded(tracker, alive, lambda each: each.close(finished=finished))


def _record(study: Any, alive: list[Tracker], over: threading.Event) -> None:
    seen = 0
    while alive:
        last = over.wait(_INTERVAL)
        try:
            progress: Progress = ray.get(study.snapshot.remote(seen))
            numbers = [trial.number for trial in progress.finished]
            curves = ray.get(study.curves.remote(numbers)) if numbers else {}
        except RayError:
            return  # the sweep itself fails with the loss of its study
        record(progress, curves, alive)
        seen += len(progress.finished)
        if last:
            return


def record(progress: Progress, curves: dict[int, Curve], alive: list[Tracker]) -> None:
    """Log the trials that finished with each tracker; a tracker that fails leaves the list."""
    for tracker in list(alive):
        for trial in progress.finished:
            if tracker in alive:
                _guarded(tracker, alive, lambda each: each.log(trial, curves[trial.number]))  # noqa: B023


def _guarded(tracker: Tracker, alive: list[Tracker], action: Callable[[Tracker], None]) -> None:
    try:
        action(tracker)
    except Exception as error:  # noqa: BLE001 - a server or a disk may fail in any way
        alive.remove(tracker)
        _log.warning("%s records no more: %s: %s", tracker.name, type(error).__name__, error)
