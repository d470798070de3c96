"""Calls of gRPC through HAProxy as Ray Serve runs it, while what answers them dies; no Ray."""

from __future__ import annotations

import asyncio
import csv
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from rayml.serve.ingress.haproxy_config import BUFFER_BYTES
from rayml.serve.ingress.ports import Ports
from tests.serve.grpc_stub import ECHO, HEALTHY
from tests.serve.haproxy import Ingress, ingress, run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="HAProxy comes with Ray on Linux"),
    pytest.mark.alone,
]

CLIENTS = 24
_SETTINGS, _HEADERS, _DATA, _END_OF_HEADERS = 4, 1, 0, 4
_STATUS_200 = b"\x88"
_TYPE = b"\x00\x0ccontent-type\x10application/grpc"


class Process:
    """A replica in a process of its own, which can be killed and started anew at its port."""

    def __init__(self) -> None:
        # Held while it is dead too; the server of gRPC shares it.
        self._ports = Ports()
        self.port = self._ports.choose()
        self.name = f"s{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.serve.grpc_stub", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()

    def end(self) -> None:
        if self._process.returncode is None:
            self.kill()
        self._ports.release()


class Cutting:
    """A replica that dies within each of its answers, between its head and its status."""

    name = "cutting"

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aenter__(self) -> Cutting:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            writer.write(_frame(_SETTINGS, 0, 0, b""))
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == _DATA:
                    break
            stream = int.from_bytes(head[5:], "big")
            writer.write(_frame(_HEADERS, _END_OF_HEADERS, stream, _STATUS_200 + _TYPE))
            writer.write(_frame(_DATA, 0, stream, self._body))
            await writer.drain()
        writer.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def message(content: bytes) -> bytes:
    """A message as gRPC frames it."""
    return b"\0" + len(content).to_bytes(4, "big") + content


@asynccontextmanager
async def channel(running: Ingress) -> AsyncIterator[Any]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}", options=options) as c:
        yield c.unary_unary(ECHO)


class Calls:
    """Counts calls by what became of them while the context lasts."""

    def __init__(self, running: Ingress, content: bytes, clients: int) -> None:
        self.seen: Counter[str] = Counter()
        self._running, self._content, self._clients = running, content, clients
        self._ends = asyncio.Event()

    async def __aenter__(self) -> Calls:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        await self.more(50)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends.set()
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        async with channel(self._running) as call:
            while not self._ends.is_set():
                try:
                    answer = await call(self._content, timeout=30)
                    self.seen["right" if answer == self._content else "wrong"] += 1
                except grpc.aio.AioRpcError as error:
                    refused = error.code() is grpc.StatusCode.UNAVAILABLE
                    self.seen["refused" if refused else f"lost: {error}"] += 1

    async def more(self, count: int) -> None:
        """Wait until so many more were answered."""
        goal = self.seen["right"] + count
        while self.seen["right"] < goal:
            await asyncio.sleep(0.01)


def stats(running: Ingress) -> dict[str, dict[str, str]]:
    """What HAProxy says of each of the application's servers, and of all of them as BACKEND."""
    rows = csv.DictReader(running.say("show stat").decode().removeprefix("# ").splitlines())
    return {row["svname"]: row for row in rows if row["pxname"] == "app"}


async def all_up(running: Ingress) -> None:
    while any(row["status"] != "UP" for row in stats(running).values()):
        await asyncio.sleep(0.01)


async def _kills(folder: Path) -> None:
    servers = Process(), Process()
    try:
        async with ingress(folder, *servers, grpc=True) as running:
            async with Calls(running, b"x" * 1000, CLIENTS) as calls:
                for each in servers:
                    each.kill()
                    await calls.more(100)
                    await asyncio.to_thread(each.start)
                    await all_up(running)
            assert set(calls.seen) <= {"right", "refused"}, calls.seen
            assert int(stats(running)["BACKEND"]["wretr"]) > 0
            # Those whose answers were cut off; without retries they would be all that were held.
            assert calls.seen["refused"] < len(servers) * CLIENTS, calls.seen
    finally:
        for each in servers:
            each.end()


async def _large(folder: Path) -> None:
    server = Process()
    try:
        async with ingress(folder, server, grpc=True) as running:
            async with Calls(running, b"x" * (BUFFER_BYTES - 4096), 1):
                pass
            server.kill()
            async with channel(running) as call:
                for content in (b"x", b"x" * 2 * BUFFER_BYTES):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call(content, timeout=30)
                    error = caught.value
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
                    assert error.details() is not None
                    assert "send it again" in error.details()
                    assert (
                        dict(error.initial_metadata() or error.trailing_metadata())[
                            "grpc-retry-pushback-ms"
                        ]
                        == "1000"
                    )
    finally:
        server.end()


async def _cut(folder: Path) -> None:
    for body in (b"", message(HEALTHY)[:-1], message(HEALTHY)):
        async with (
            Cutting(body) as server,
            ingress(folder, server, grpc=True) as running,
            channel(running) as call,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"x", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _nobody(folder: Path) -> None:
    async with ingress(folder, grpc=True) as running, channel(running) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "no replica" in (caught.value.details() or "")


test_kills_under_load_lose_no_call = run(_kills)
test_a_call_that_nobody_is_left_for_is_refused_as_grpc_does = run(_large)
test_a_call_whose_answer_is_cut_off_is_refused = run(_cut)
test_without_replicas_calls_are_refused = run(_nobody)
