"""The load's account of a server that behaves, and of one that does not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rayml.errors import ServeError
from rayml.serve.ingress.ports import Ports
from rayml.testing.arrivals import steady
from rayml.testing.load import Load, Question
from rayml.testing.load_process import agree
from rayml.testing.load_wire import parse

pytestmark = pytest.mark.alone


def response(status: int, content: object, *headers: str) -> bytes:
    body = json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


ANSWERS = {
    "right": response(200, {"y": 0.1 + 0.2}),
    "chunked": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"y\r\n7\r\n": 0.3}\r\n'
    b"0\r\n\r\n",
    "until closed": b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"y": 0.3}',
    "wrong": response(200, {"y": 0.4}),
    "full": response(503, {"error": "full"}, "Retry-After: 1"),
    "bad": response(422, {"error": "bad"}),
    "full, no date": response(503, {"error": "full"}),
    "formless": response(503, "full", "Retry-After: 1"),
    "failed": response(500, {"error": "the model failed"}),
    "torn": b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"y"',
    "nothing": b"",
}
STALL_S = 0.3
ENDS = {"until closed", "torn", "nothing"}


class Server:
    """Answers as a body says: `silence` never, `stall` late, `once` breaks its first attempt."""

    def __init__(self) -> None:
        self.connections = 0
        self.seen: list[str] = []
        self.hold = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            wish = json.loads(await reader.readexactly(length))
            self.seen.append(wish)
            if wish == "silence":
                await self.hold.wait()
                break
            if wish == "stall":
                await asyncio.sleep(STALL_S)
                wish = "right"
            if wish == "once":
                wish = "nothing" if self.seen.count("once") == 1 else "right"
            writer.write(ANSWERS[wish])
            if wish in ENDS:
                break
        writer.close()


@contextmanager
def running(port: int = 0) -> Iterator[tuple[str, Server]]:
    loop, server = asyncio.new_event_loop(), Server()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        listener = await asyncio.start_server(answer, "127.0.0.1", port)
        address.append(listener.sockets[0].getsockname()[1])
        ready.set()
        async with listener:
            await over.wait()
            server.hold.set()
        # Those that still read end with the loop's other tasks.

    address: list[int] = []
    ready, over = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{address[0]}", server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def ask(url: str, *wishes: str, **options: float) -> Load:
    asked = [Question(json.dumps(wish).encode(), {"y": 0.3}) for wish in wishes]
    load = Load(url, asked, arrivals=steady(200, len(wishes) / 200), **options)  # type: ignore[arg-type]
    with load:
        load.finish()
    return load


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Server]]:
    with running() as server:
        yield server


def test_every_request_has_the_outcome_that_it_deserves(server: tuple[str, Server]) -> None:
    report = ask(server[0], *ANSWERS).report
    outcomes = dict(zip(ANSWERS, report.outcomes, strict=True))
    assert outcomes == {
        "right": "right", "chunked": "right", "until closed": "right", "wrong": "wrong",
        "full": "refused", "bad": "refused",
        "full, no date": "lost", "formless": "lost", "failed": "lost", "torn": "lost",
        "nothing": "lost",
    }  # fmt: skip
    assert (report.right, report.wrong, report.refused, report.lost) == (3, 1, 2, 5)
    assert report.statuses == [200, 200, 200, 200, 503, 422, 503, 503, 500, 0, 0]
    assert report.reasons["lost: closed in its response"] == 1
    assert report.reasons["refused: 503: full"] == 1
    assert "5 lost" in str(report)


def test_silence_is_lost_when_patience_ends(server: tuple[str, Server]) -> None:
    report = ask(server[0], "silence", "right", patience_s=0.3).report
    assert report.outcomes == ["lost", "right"]
    assert report.seconds[0] >= 0.3


def test_an_open_loop_charges_for_the_wait_behind_a_stall(server: tuple[str, Server]) -> None:
    report = ask(server[0], "stall", *["right"] * 20, connections=1).report
    assert report.right == 21
    # All that were due during the stall have waited for its end.
    ends = [due + seconds for due, seconds in zip(report.due, report.seconds, strict=True)]
    assert min(ends) >= STALL_S
    assert report.percentile(50) >= STALL_S / 2


def test_a_broken_request_is_sent_again_if_asked(server: tuple[str, Server]) -> None:
    report = ask(server[0], "once", "nothing", retry_s=0.2).report
    assert report.outcomes == ["right", "lost"]
    assert report.broken == [True, True]
    assert report.retried == 1


def test_nobody_listens(ports: Ports) -> None:
    report = ask(f"http://127.0.0.1:{ports.choose()}", "right", "right").report
    assert report.outcomes == ["unreached"] * 2
    assert report.lost == 0


def test_a_closed_loop_goes_on_until_it_is_told(server: tuple[str, Server]) -> None:
    with Load(server[0], [Question(b'"right"', {"y": 0.3})], clients=4) as load:
        load.wait_for(right=100)
        with pytest.raises(ServeError, match="the load lacks"):
            load.wait_for(seconds=0.05, wrong=1)
    assert load.report.right == len(load.report.due) >= 100


def test_connections_are_kept() -> None:
    with running() as (url, server):
        ask(url, *["right"] * 30, connections=2)
        assert server.connections <= 2
        assert len(server.seen) == 30


def test_a_span_of_a_report(server: tuple[str, Server]) -> None:
    report = ask(server[0], *["right", "wrong"] * 10).report
    part = report.between(0.0175, 0.0375)  # between two requests, whatever a clock rounds
    assert part.outcomes == ["right", "wrong"] * 2
    assert all(0.0175 <= due < 0.0375 for due in part.due)


def test_a_response_is_complete_when_it_is() -> None:
    for whole in (ANSWERS["right"], ANSWERS["chunked"]):
        assert parse(whole, closed=False) is not None
        assert all(parse(whole[:end], closed=False) is None for end in range(len(whole)))
    assert parse(ANSWERS["until closed"], closed=False) is None
    reply = parse(ANSWERS["until closed"], closed=True)
    assert reply is not None
    assert reply.body == b'{"y": 0.3}'


def test_numbers_agree_within_rounding() -> None:
    assert agree({"a": [1.0, "x", None]}, {"a": [1 + 1e-8, "x", None]})
    assert not agree({"a": 1.0}, {"a": 1.001})
    assert not agree({"a": 1.0}, {"a": 1.0, "b": 2})
    assert not agree([1.0], [])
    assert not agree("1", 1)
