"""Load from one process over keep-alive connections, each with one request on its way.

Run as `python http_load.py JOB`, where JOB is a JSON file {"port", "path", "bodies",
"connections", "seconds"}, or with "files" of binary bodies and further "headers" instead of the
bodies, whose answers are then given as Latin-1. It prints JSON with requests per second, latencies
and every different answer to each body. It speaks just enough HTTP to cost little beside a server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the next body as soon as it has an answer."""

    def __init__(self, load: Load, first: int) -> None:
        self._load = load
        self._index = first
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        if len(rest) < length:
            return
        self._buffer = b""
        self._load.record(self._index, head[9:12], rest, time.perf_counter() - self._start)
        if time.perf_counter() < self._load.end:
            self._index = (self._index + 1) % len(self._load.requests)
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.closed()

    def _send(self) -> None:
        self._start = time.perf_counter()
        self._transport.write(self._load.requests[self._index])  # type: ignore[attr-defined]


class Load:
    """All connections and what they saw."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        bodies = [body.encode() for body in job.get("bodies", ())]
        bodies += [Path(file).read_bytes() for file in job.get("files", ())]
        self.requests = [_request(job["path"], body, job.get("headers", "")) for body in bodies]
        self._encoding = "latin-1" if "files" in job else "utf-8"
        self._answers: dict[int, set[bytes]] = {}
        self.latencies: list[float] = []
        self.failed = 0
        self._open = job["connections"]

    async def run(self) -> dict[str, Any]:
        """Send until the time is over, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        start = time.perf_counter()
        self.end = start + self._job["seconds"]
        for number in range(self._job["connections"]):
            first = number % len(self.requests)
            await loop.create_connection(
                lambda first=first: Connection(self, first),  # type: ignore[misc]
                "127.0.0.1",
                self._job["port"],
            )
        await self._done.wait()
        seconds = time.perf_counter() - start
        ordered = sorted(self.latencies)
        return {
            "requests": len(ordered),
            "failed": self.failed,
            "rate": len(ordered) / seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
            "answers": {
                index: [body.decode(self._encoding) for body in each]
                for index, each in self._answers.items()
            },
        }

    def record(self, index: int, status: bytes, body: bytes, seconds: float) -> None:
        """Note one answer."""
        self.latencies.append(seconds)
        self.failed += status != b"200"
        self._answers.setdefault(index, set()).add(body)

    def closed(self) -> None:
        """Note that a connection ended."""
        self._open -= 1
        if not self._open:
            self._done.set()


def _request(path: str, body: bytes, headers: str) -> bytes:
    headers = headers or "Content-Type: application/json\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asyncio.run(Load(job).run())))
