"""A shadow: a version that predicts the rows of the champion, and whose answers no client gets."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.serve.release.counters import VersionCounter

if TYPE_CHECKING:
    from rayml.serve.predict.answer import Estimate
    from rayml.serve.predict.predictor import Predictor
    from rayml.serve.predict.row_parser import Row
    from rayml.tasks.task import Answer, Apart, Task

_log = logging.getLogger(__name__)
_REST_S = 0.02


class Shadow:
    """Predicts again with a shadow, in a thread, and counts how its predictions differ.

    What it is offered waits in a queue of bounded length; what does not fit is dropped and
    counted, so that a shadow can be slow, fail or hang without touching an answer.

    Args:
        predictor: of the version that is tried.
        counter: of the shadow.
        room: rows that wait at most.
    """

    def __init__(
        self, predictor: Predictor, counter: VersionCounter, *, room: int = 10_000
    ) -> None:
        self.predictor = predictor
        self._counter = counter
        self._room = room
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Callable[[], Apart]]] = deque()
        self._closed = threading.Event()
        threading.Thread(target=self._work, name="shadow", daemon=True).start()

    def offer(self, rows: list[Row], answers: Sequence[Answer]) -> None:
        """Queue rows that were answered; returns at once."""
        own = self.predictor
        self._put(len(rows), lambda: own.task.answers_apart(answers, own.predict_rows(rows)))

    def offer_table(
        self, table: Callable[[], pa.Table], estimate: Estimate, answered_by: Task
    ) -> None:
        """Queue a raw table that was answered, and is made later; returns at once."""

        def compare() -> Apart:
            own = self.predictor
            predictions = own.estimate(own.features(table())).prediction
            apart = own.task.predictions_apart(estimate.prediction, predictions)
            if own.task.rule == answered_by.rule:
                return apart
            labels = answered_by.chosen(estimate.prediction), own.task.chosen(predictions)
            return replace(apart, changed=int((labels[0] != labels[1]).sum()))

        self._put(len(estimate.prediction), compare)

    def close(self) -> None:
        """Stop after the current comparison."""
        self._closed.set()

    def _put(self, rows: int, compare: Callable[[], Apart]) -> None:
        with self._lock:
            fits = self._room >= rows
            if fits:
                self._room -= rows
                self._waiting.append((rows, compare))
        if not fits:
            self._counter.add(dropped=rows)

    def _work(self) -> None:
        while not self._closed.is_set():
            # A rest leaves the core to requests that have a client.
            self._closed.wait(_REST_S)
            for rows, compare in self._taken():
                self._compare(rows, compare)

    def _taken(self, limit: int = 64) -> list[tuple[int, Callable[[], Apart]]]:
        with self._lock:
            found = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            self._room += sum(rows for rows, _ in found)
        return found

    def _compare(self, rows: int, compare: Callable[[], Apart]) -> None:
        try:
            found = compare()
        except Exception:  # noqa: BLE001 (a shadow that fails touches no answer)
            _log.exception("a shadow failed on %d rows", rows)
            self._counter.add(shadow_failed=rows)
            return
        self._counter.add(shadowed=rows, changed=found.changed, difference=found.difference)
