"""The process that sends a load; `rayml.testing.load` starts it and reads its report.

Run as `python -m rayml.testing.load_process`: the first line of its input is the job, a further
line or the end of its input stops it early. It prints JSON lines, progress and last the report.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import sys
import threading
import time
from collections import Counter, deque
from typing import Any

from rayml.testing.load_wire import Connection, Reply

TOLERANCE = 1e-6
_TICK_S = 0.02


class Pool:
    """Keep-alive connections to one server; requests wait for one when all are in use."""

    def __init__(self, host: str, port: int, *, connections: int) -> None:
        self._address = (host, port)
        self._room = connections
        self._idle: list[Connection] = []
        self._waiting: deque[Exchange] = deque()
        self._dials: set[asyncio.Task[None]] = set()

    def take(self, exchange: Exchange) -> None:
        """Send an exchange's request as soon as there is a connection."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                exchange.send_on(connection)
                return
        self._waiting.append(exchange)
        self._dial()

    def _dial(self) -> None:
        if self._room:
            self._room -= 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self._free, self._gone), *self._address)
        except OSError as error:
            self._room += 1
            if exchange := self._next():
                exchange.unreached(type(error).__name__)

    def _free(self, connection: Connection) -> None:
        if exchange := self._next():
            exchange.send_on(connection)
        else:
            self._idle.append(connection)

    def _gone(self, connection: Connection) -> None:  # noqa: ARG002
        self._room += 1
        if self._waiting:
            self._dial()

    def _next(self) -> Exchange | None:
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.outcome:
                return exchange
        return None


class Exchange:
    """One request from the moment at which it is due to its outcome."""

    __slots__ = (
        "_connection",
        "_load",
        "broken_s",
        "due",
        "number",
        "outcome",
        "seconds",
        "status",
    )

    def __init__(self, load: Sender, number: int, due: float) -> None:
        self._load = load
        self._connection: Connection | None = None
        self.number = number
        self.due = due
        self.outcome = ""
        self.status = 0
        self.seconds = math.nan
        self.broken_s: float | None = None

    def send_on(self, connection: Connection) -> None:
        """Send it on an open connection."""
        self._connection = connection
        connection.send(self._load.request(self.number), self)

    def answered(self, reply: Reply) -> None:
        """Take a complete response."""
        self._connection = None
        self.status = reply.status
        outcome, reason = judge(reply, self._load.answer(self.number))
        self._finish(outcome, reason)

    def broken(self, reason: str) -> None:
        """Handle a connection that ended before its response."""
        self._again("lost", reason)

    def unreached(self, reason: str) -> None:
        """Handle a connection that could not be opened."""
        self._again("unreached", reason)

    def expire(self) -> None:
        """End the exchange as lost, since its deadline has passed."""
        if self._connection:
            self._connection.close()
        self._finish("lost", "no response in time")

    def _again(self, outcome: str, reason: str) -> None:
        self._connection = None
        now = time.perf_counter()
        if self.broken_s is None:
            self.broken_s = now
        if now - self.broken_s < self._load.retry_s:
            asyncio.get_running_loop().call_later(_TICK_S, self._load.take, self)
        else:
            self._finish(outcome, reason)

    def _finish(self, outcome: str, reason: str) -> None:
        if self.outcome:
            return
        self.outcome = outcome
        self.seconds = time.perf_counter() - self.due
        self._load.finished(self, reason)


class Sender:
    """Sends a job's requests and records the outcome of each.

    Args:
        job: the job that `rayml.testing.load.Load` wrote.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._requests = [base64.b64decode(request) for request in job["requests"]]
        self._answers = job["answers"]
        self._arrivals: list[float] | None = job["arrivals"]
        self._clients: int = job["clients"]
        self._patience_s: float = job["patience_s"]
        self._pool = Pool(job["host"], job["port"], connections=job["connections"])
        self.retry_s: float = job["retry_s"]
        self._exchanges: list[Exchange] = []
        self._open: set[Exchange] = set()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._stopped = threading.Event()

    def request(self, number: int) -> bytes:
        """The bytes of a request."""
        return self._requests[number % len(self._requests)]

    def answer(self, number: int) -> Any:
        """The expected answer of a request; None where any is right."""
        return self._answers[number % len(self._answers)]

    def take(self, exchange: Exchange) -> None:
        """Send an exchange's request, again or for the first time."""
        if not exchange.outcome:
            self._pool.take(exchange)

    def finished(self, exchange: Exchange, reason: str) -> None:
        """Record an outcome, and let a client of a closed loop send its next request."""
        self._open.discard(exchange)
        self._counts[exchange.outcome] += 1
        if reason:
            self._reasons[f"{exchange.outcome}: {reason}"] += 1
        if self._arrivals is None and not self._stopped.is_set():
            self._begin(time.perf_counter())

    def stop(self) -> None:
        """Send no new request; may be called from any thread."""
        self._stopped.set()

    async def run(self) -> dict[str, Any]:
        """Send until the plan or the input ends, and wait for the open requests."""
        self._start = time.perf_counter()
        watch = asyncio.create_task(self._watch())
        if self._arrivals is None:
            for _ in range(self._clients):
                self._begin(time.perf_counter())
            while not self._stopped.is_set():
                await asyncio.sleep(_TICK_S)
        else:
            await self._keep_to(self._arrivals)
        while self._open:
            await asyncio.sleep(_TICK_S)
        watch.cancel()
        self._tell()
        return self._report()

    async def _keep_to(self, arrivals: list[float]) -> None:
        for moment in arrivals:
            due = self._start + moment
            while (ahead := due - time.perf_counter()) > 0 and not self._stopped.is_set():
                await asyncio.sleep(min(ahead, _TICK_S))
            if self._stopped.is_set():
                return
            self._begin(due)
            if len(self._exchanges) % 64 == 0:
                await asyncio.sleep(0)  # a late sender must still read the answers

    def _begin(self, due: float) -> None:
        exchange = Exchange(self, len(self._exchanges), due)
        self._exchanges.append(exchange)
        self._open.add(exchange)
        self._pool.take(exchange)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            latest = time.perf_counter() - self._patience_s
            for exchange in [each for each in self._open if each.due < latest]:
                exchange.expire()
            self._tell()

    def _tell(self) -> None:
        print(json.dumps(self._counts), flush=True)

    def _report(self) -> dict[str, Any]:
        exchanges = self._exchanges
        return {
            "due": [each.due - self._start for each in exchanges],
            "seconds": [each.seconds for each in exchanges],
            "outcomes": [each.outcome for each in exchanges],
            "statuses": [each.status for each in exchanges],
            "broken": [each.broken_s is not None for each in exchanges],
            "reasons": dict(self._reasons),
        }


def judge(reply: Reply, answer: Any) -> tuple[str, str]:
    """The outcome of an answered request, and the reason where it is not `right`.

    A proper refusal has the error form; a 429 or 503 also has a Retry-After.
    """
    try:
        content = json.loads(reply.body)
    except ValueError:
        content = None
    if reply.status == 200:
        if answer is None or agree(answer, content):
            return "right", ""
        return "wrong", f"{reply.body[:200]!r}"
    named = isinstance(content, dict) and isinstance(content.get("error"), str)
    dated = reply.status not in {429, 503} or reply.headers.get(b"retry-after", b"").isdigit()
    if named and dated and (400 <= reply.status < 500 or reply.status == 503):
        return "refused", f"{reply.status}: {content['error'][:200]}"
    return "lost", f"{reply.status}: {reply.body[:200]!r}"


def agree(expected: Any, got: Any) -> bool:
    """Whether JSON is what was expected, numbers within `TOLERANCE`."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(agree(expected[k], got[k]) for k in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(agree, expected, got))
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(expected == got)


def main() -> None:
    """Run the job on the standard input."""
    sender = Sender(json.loads(sys.stdin.readline()))

    def wait_for_stop() -> None:
        sys.stdin.readline()
        sender.stop()

    threading.Thread(target=wait_for_stop, daemon=True).start()
    report = asyncio.run(sender.run())
    print(json.dumps({"report": report}), flush=True)


if __name__ == "__main__":
    main()
