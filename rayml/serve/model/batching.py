"""Dynamic batching: requests that wait at the same moment share one forward pass.

A lone request is answered without any detour: its batch is run at the end of the same turn of the
event loop, on the loop itself, since handing it to a thread costs more than a small forward pass.
A batch that would hold the loop longer than `LOOP_BUDGET_S` runs in a thread instead, so that
health checks are answered meanwhile; requests that arrive before it ends form the next batch, so
that a slow model under load answers as many at once as it may. Which batches those are is measured
when a replica warms up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate
from typing import Generic, TypeVar

from rayml.serve.model.histogram import Histogram

LOOP_BUDGET_S = 0.005
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)

Item = TypeVar("Item")
Result = TypeVar("Result")


def loop_rows(
    run: Callable[[list[Item]], object],
    item: Item,
    *,
    rows: int = 32,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Measure how many items may run on the event loop within `LOOP_BUDGET_S`.

    Args:
        run: what a batch does; it is called a few times, which also warms it up.
        item: a typical item.
        rows: size of the batch that is measured.
        clock: seconds; not those of a processor, since a model that waits for an accelerator holds
            the loop too.

    Returns:
        The number of items; 0 if even the measured batch takes longer.
    """
    seconds = []
    for _ in range(5):
        start = clock()
        run([item] * rows)
        seconds.append(clock() - start)
    # The least counts, since another version may answer beside this.
    # The time of a batch grows at most linearly with its rows, so this never promises too much.
    fits = int(rows * LOOP_BUDGET_S / max(min(seconds), 1e-9))
    return fits if fits >= rows else 0


class MicroBatcher(Generic[Item, Result]):
    """Runs the items of concurrent requests together and gives each request its own results.

    `waiting` counts the requests whose results are awaited, those that run included.

    Args:
        run: maps items to as many results, each independent of the others.
        max_requests: requests of a batch at most.
        wait_s: how long a request waits for others; 0 takes those that are already there.
        max_loop_items: larger batches run in a thread.
        size: how many of these an item counts for; 1 by default.
        sizes: counts the batches by what their items count for.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        max_requests: int,
        wait_s: float,
        max_loop_items: int,
        size: Callable[[Item], int] | None = None,
        sizes: Histogram | None = None,
    ) -> None:
        self._run = run
        self._max_requests = max_requests
        self._wait_s = wait_s
        self._max_loop_items = max_loop_items
        self._size = size
        self.waiting = 0
        self._sizes = sizes or Histogram(BATCH_SIZES)
        self._waiting: deque[_Request[Item, Result]] = deque()
        self._timer: asyncio.Handle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="forward")
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, items: list[Item]) -> Sequence[Result]:
        """Run the items of one request, together with those of others; in their order."""
        loop = asyncio.get_running_loop()
        request = _Request(items, loop.create_future())
        self._waiting.append(request)
        if self._running and not self._max_loop_items:
            pass  # It joins those that wait for the thread.
        elif len(self._waiting) >= self._max_requests:
            self._flush()
        elif self._timer is None:
            later = loop.call_later(self._wait_s, self._flush) if self._wait_s else None
            self._timer = later or loop.call_soon(self._flush)
        self.waiting += 1
        try:
            return await request.results
        finally:
            self.waiting -= 1
            if request.results.cancelled():
                self._forget(request)

    def close(self) -> None:
        """End the thread once it has run what it was given."""
        self._thread.shutdown(wait=True)

    def _forget(self, request: _Request[Item, Result]) -> None:
        """Remove a request whose client left, so that it fills no batch and begins none."""
        with suppress(ValueError):
            self._waiting.remove(request)
        if self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A request whose client left or whose time is over is not worth a forward pass.
        batch = [request for request in self._waiting if not request.results.done()]
        self._waiting.clear()
        batch, later = self._split(batch)
        self._waiting.extend(later)
        if later and not self._running:
            self._timer = asyncio.get_running_loop().call_soon(self._flush)
        if not batch:
            return
        items = self._count(batch)
        self._sizes.observe(items)
        if items <= self._max_loop_items:
            self._answer(batch, self._attempt(batch))
            return
        task = asyncio.get_running_loop().create_task(self._off_loop(batch))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _split(
        self, waiting: list[_Request[Item, Result]]
    ) -> tuple[list[_Request[Item, Result]], list[_Request[Item, Result]]]:
        """Choose those that run now; a busy thread leaves what the loop may take."""
        if not self._running:
            return waiting[: self._max_requests], waiting[self._max_requests :]
        now: list[_Request[Item, Result]] = []
        later: list[_Request[Item, Result]] = []
        room = self._max_loop_items
        for request in waiting:
            size = self._count([request])
            (now if size <= room else later).append(request)
            room -= size if size <= room else 0
        return now, later

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._waiting:
            self._flush()

    def _count(self, batch: list[_Request[Item, Result]]) -> int:
        if self._size is None:
            return sum(len(request.items) for request in batch)
        return sum(self._size(item) for request in batch for item in request.items)

    async def _off_loop(self, batch: list[_Request[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        self._answer(batch, await loop.run_in_executor(self._thread, self._attempt, batch))

    def _attempt(self, batch: list[_Request[Item, Result]]) -> list[Sequence[Result] | Exception]:
        items = [item for request in batch for item in request.items]
        try:
            results = self._run(items)
        except Exception as error:  # noqa: BLE001 (whatever a model raises belongs to its request)
            if len(batch) == 1:
                return [error]
            # One request must not spoil the answers of those that it met by chance.
            return [self._attempt([request])[0] for request in batch]
        ends = accumulate(len(request.items) for request in batch)
        return [
            results[end - len(request.items) : end]
            for request, end in zip(batch, ends, strict=True)
        ]

    @staticmethod
    def _answer(
        batch: list[_Request[Item, Result]], outcomes: list[Sequence[Result] | Exception]
    ) -> None:
        for request, outcome in zip(batch, outcomes, strict=True):
            if request.results.done():
                continue
            if isinstance(outcome, Exception):
                request.results.set_exception(outcome)
            else:
                request.results.set_result(outcome)


class _Request(Generic[Item, Result]):
    __slots__ = ("items", "results")

    def __init__(self, items: list[Item], results: asyncio.Future[Sequence[Result]]) -> None:
        self.items = items
        self.results = results
