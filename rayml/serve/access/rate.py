"""Limits on requests per second: one token bucket for each client, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_CLIENTS = 10_000


class Rate:
    """Token buckets by client.

    A bucket holds `burst` tokens at most and gains `per_second` of them each second; a request
    takes one. Beyond `clients` the least recent client is forgotten; its next bucket is full.

    Args:
        per_second: requests that a client may make each second, in the long run.
        burst: requests that it may make at once.
        clients: number of clients that are remembered.
        clock: time in seconds.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        clients: int = _CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clients = clients
        self._clock = clock
        # Tokens, and the time at which they were counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of a client.

        Returns:
            0 if there was one, else the seconds until the next one.
        """
        now = self._clock()
        tokens, counted = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - counted) * self._per_second)
        taken = tokens >= 1
        self._buckets[client] = (tokens - taken, now)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._per_second
