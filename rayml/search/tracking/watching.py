"""Keeps a view of a sweep up to date while it runs, apart from all that trains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from rayml.search.problem.trials import Progress
from rayml.search.results.progress import View

_INTERVAL = 0.25


@contextmanager
def watching(study: Any, view: View | None, seen: int = 0) -> Iterator[None]:
    """Keep a view up to date from the study's actor, from a thread of its own.

    Args:
        study: handle of the study's actor.
        view: what shows it; None shows nothing.
        seen: trials that had finished before, which are not shown again.
    """
    if view is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(study, view, over, seen), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        view.close()


def _watch(study: Any, view: View, over: threading.Event, seen: int) -> None:
    while True:
        last = over.wait(_INTERVAL)
        try:
            progress: Progress = ray.get(study.snapshot.remote(seen))
        except RayError:
            return  # the sweep itself fails with the loss of its study
        seen += len(progress.finished)
        view.update(progress)
        if last:
            return
