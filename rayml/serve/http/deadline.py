"""Ends the work for a request once its time is over or its client has left.

Most requests are answered before `AFTER_S`, and neither is looked for until then: a task for each
request that waits for its client to leave costs as much as a small forward pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rayml.serve.http.body import ClientGoneError, Receive

AFTER_S = 0.05


class Deadline:
    """Cancels a block that takes too long or whose client has left.

    The block raises `TimeoutError` or `ClientGoneError` then; a cancellation from elsewhere passes
    through, as with `asyncio.timeout`.

    Args:
        limit_s: seconds that the block may take.
        receive: of ASGI, which reports that the client left once the body is complete.
        is_read: whether the body is complete; until then its reader learns that the client left.
    """

    __slots__ = (
        "_cancelling",
        "_end_time",
        "_is_read",
        "_limit_s",
        "_loop",
        "_reason",
        "_receive",
        "_timer",
        "_watch",
        "_work",
    )

    def __init__(self, limit_s: float, receive: Receive, is_read: Callable[[], bool]) -> None:
        self._limit_s = limit_s
        self._receive = receive
        self._is_read = is_read
        self._watch: asyncio.Task[None] | None = None
        self._reason: Exception | None = None

    def __enter__(self) -> Self:
        """Begin; called in the task that does the work."""
        work = asyncio.current_task()
        if work is None:
            raise RuntimeError("a deadline is set outside of a task")
        self._work = work
        self._cancelling = work.cancelling()
        self._loop = asyncio.get_running_loop()
        self._end_time = self._loop.time() + self._limit_s
        self._timer = self._loop.call_later(min(AFTER_S, self._limit_s), self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; a cancellation of its own becomes the error that says why."""
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._reason is not None:
            others = self._work.uncancel() > self._cancelling
            if kind is asyncio.CancelledError and not others:
                raise self._reason from error

    def _look(self) -> None:
        left = self._end_time - self._loop.time()
        if left <= 0:
            self._end(TimeoutError())
            return
        if self._watch is None and self._is_read():
            self._watch = self._loop.create_task(self._wait())
        pause = left if self._watch is not None else min(AFTER_S, left)
        self._timer = self._loop.call_later(pause, self._look)

    async def _wait(self) -> None:
        # A failed receive counts as a disconnect.
        with suppress(Exception):
            while (await self._receive())["type"] != "http.disconnect":
                pass
        self._end(ClientGoneError())

    def _end(self, reason: Exception) -> None:
        if self._reason is None:
            self._reason = reason
            self._work.cancel()
