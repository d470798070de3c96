"""HAProxy as Ray Serve runs it, under rayml's keeper; no Ray, and stubs for replicas."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rayml.serve.ingress.haproxy_config import BUFFER_BYTES
from rayml.serve.ingress.haproxy_keeper import ask, handover_socket
from rayml.testing.load_wire import Reply, parse
from tests.processes import command, descendants
from tests.serve.haproxy import Ingress, ingress, run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="HAProxy comes with Ray on Linux"),
    pytest.mark.alone,
]


class Stub:
    """A replica: answers with its name; it holds, aborts, or halves an answer as it is asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[str] = []
        self.go_on = asyncio.Event()
        self.holds = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Stub:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # in which transports close

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(
                    (head.lower() + b"\r\n").partition(b"content-length: ")[2][:12].split(b"\r")[0]
                    or 0
                )
                await reader.readexactly(length)
                path = head.split(b" ", 2)[1].decode()
                if not await self._speak(path, writer):
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _speak(self, path: str, writer: asyncio.StreamWriter) -> bool:
        body = json.dumps({"by": self.name}).encode()
        head = f"HTTP/1.1 200 OK\r\nby: {self.name}\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = head.encode() + body
        if path != "/-/healthz":
            self.seen.append(path)
        if path == "/hold":
            self.holds.set()
            await self.go_on.wait()
        if path == f"/abort-{self.name}" or path == "/abort":
            writer.transport.abort()
            return False
        if path == "/text":
            answer = b"HTTP/1.1 500 No\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno"
        if path == "/unread":
            answer = b"HTTP/1.1 400 No\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno"
        if path == "/half":
            writer.write(answer[:-3])
            await writer.drain()
            writer.transport.abort()
            return False
        writer.write(answer)
        return True


class Client:
    """A keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, path: str = "/", body: bytes = b"{}") -> Reply:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        data = b""
        while (reply := parse(data, closed=False)) is None:
            part = await self._reader.read(65536)
            if not part:
                raise ConnectionResetError
            data += part
        return reply


async def ask_once(port: int, path: str = "/", body: bytes = b"{}") -> Reply:
    async with Client(port) as client:
        return await client.ask(path, body)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


async def _killed(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        before = running.haproxy()
        os.kill(before, signal.SIGKILL)
        # Nobody is refused: who comes while there is none waits for the next one.
        replies = await asyncio.gather(*(ask_once(running.port) for _ in range(50)))
        assert {reply.status for reply in replies} == {200}
        assert running.haproxy() not in {0, before}
        # Serve has not noticed, and goes on with it.
        async with Stub("b") as b:
            running.route_to(b)
            await running.api.reload()
            assert json.loads((await ask_once(running.port)).body) == {"by": "b"}


async def _lost_replica(folder: Path) -> None:
    async with Stub("a") as a, Stub("b") as b, ingress(folder, a, b) as running:
        for _ in range(4):
            reply = await ask_once(running.port, "/abort-a")
            assert json.loads(reply.body) == {"by": "b"}
        assert "/abort-a" in a.seen
        large = b"x" * (BUFFER_BYTES + 1)
        for path, body in (
            ("/abort", b"{}"), ("/half", b"{}"), ("/abort", large), ("/text", b"{}"),
        ):  # fmt: skip
            reply = await ask_once(running.port, path, body)
            assert reply.status == 503
            assert reply.headers[b"retry-after"] == b"1"
            assert "send it again" in json.loads(reply.body)["error"]


async def _unread(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        reply = await ask_once(running.port, "/unread")
        assert (reply.status, b"retry-after" in reply.headers) == (400, False)
        assert json.loads(reply.body)["error"]
        # What is no request at all gets a page of HAProxy's own, and reaches nobody.
        for torn in (b"\x16\x03\x01\r\n\r\n", b"GET /torn HTTP/1.1\r\nno header\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(torn)
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
        assert a.seen == ["/unread"]
        assert (await ask_once(running.port)).status == 200


async def _nobody(folder: Path) -> None:
    async with ingress(folder) as running:
        reply = await ask_once(running.port)
        assert reply.status == 503
        assert reply.headers[b"retry-after"] == b"1"
        assert json.loads(reply.body)["error"]


async def _reloaded(folder: Path) -> None:
    async with Stub("a") as a, Stub("b") as b, ingress(folder, a) as running:
        async with Client(running.port) as idle, Client(running.port) as waiting:
            await idle.ask()
            held = asyncio.create_task(waiting.ask("/hold"))
            await a.holds.wait()
            running.route_to(b)
            await running.api.reload()
            assert json.loads((await ask_once(running.port)).body) == {"by": "b"}
            # What was on its way and whoever kept a connection is answered by the old one.
            assert (await idle.ask()).status == 200
            a.go_on.set()
            assert json.loads((await held).body) == {"by": "a"}
        await until(lambda: len(list(running.folder.glob("haproxy.cfg.*"))) == 2)


async def _serve_starts_anew(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        port = running.port
        first = running.keeper
        config = running.api.cfg
        after = Ingress(folder, port, (config.stats_port, config.metrics_port))
        try:
            await after.api.start()
            # It knows of no replica yet, so the one before goes on.
            assert (await ask_once(port)).status == 200
            after.route_to(a)
            await after.api.reload()
            assert (await ask_once(port)).status == 200
            await until(lambda: not descendants(first))
            assert (await ask_once(port)).status == 200
        finally:
            await after.api.stop()


async def _drained(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running, Client(running.port) as client:
        held = asyncio.create_task(client.ask("/hold"))
        await a.holds.wait()
        drain = asyncio.create_task(
            asyncio.to_thread(ask, handover_socket(running.folder), "drain")
        )
        while True:
            try:
                await ask_once(running.port)
            except OSError:
                break
        assert not drain.done()
        a.go_on.set()
        assert (await held).status == 200
        assert (await drain)[0] == "drained"


async def _ended_with_serve(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        child = running.haproxy()
    await until(lambda: not command(child))


async def _keeper_killed(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        first = running.keeper
        for keeper in (first, *spares(first)):
            (spare,) = spares(keeper)
            os.kill(keeper, signal.SIGKILL)
            await until(lambda keeper=keeper: not command(keeper))  # type: ignore[misc]
            # The spare holds the port: nobody is refused, though HAProxy may die with a request.
            asked = [ask_once(running.port) for _ in range(50)]
            replies = await asyncio.gather(*asked, return_exceptions=True)
            broken = [each for each in replies if not isinstance(each, Reply)]
            assert not any(isinstance(each, ConnectionRefusedError) for each in broken)
            assert len(broken) < 50
            assert (await ask_once(running.port)).status == 200
            await until(lambda spare=spare: len(spares(spare)) == 1)  # type: ignore[misc]
        (last,) = spares(spare)
        os.kill(last, signal.SIGKILL)
        await until(lambda: spares(spare) not in ([], [last]))
        # What Serve starts once it notices takes over.
        config = running.api.cfg
        after = Ingress(folder, running.port, (config.stats_port, config.metrics_port))
        try:
            await after.api.start()
            after.route_to(a)
            await after.api.reload()
            await until(lambda: not command(spare))
            assert (await ask_once(running.port)).status == 200
        finally:
            await after.api.stop()


def spares(keeper: int) -> list[int]:
    return [pid for pid in descendants(keeper) if b"haproxy_keeper" in command(pid)]


async def _forsaken(folder: Path) -> None:
    async with Stub("a") as a, ingress(folder, a) as running:
        (spare,) = spares(running.keeper)
    assert not command(spare)


async def _suspended(folder: Path) -> None:
    with serving_process("a") as a:
        async with Stub("b") as b, ingress(folder, a, b) as running:
            seen = {(await ask_once(running.port)).headers[b"by"] for _ in range(10)}
            assert seen == {b"a", b"b"}
            a.suspend()
            # Half of them are sent to it, and to the other one when that is seen.
            replies = await asyncio.gather(*(ask_once(running.port) for _ in range(20)))
            assert {(reply.status, reply.headers[b"by"]) for reply in replies} == {(200, b"b")}
            for _ in range(10):
                assert (await ask_once(running.port)).headers[b"by"] == b"b"
            a.resume()
            while (await ask_once(running.port)).headers[b"by"] != b"a":
                await asyncio.sleep(0.01)


class ServingProcess:
    """A stub of a replica in a process of its own, which can be suspended."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.name = name
        self.port = int(process.stdout.readline())
        self._pid = process.pid

    def suspend(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@contextmanager
def serving_process(name: str) -> Iterator[ServingProcess]:
    code = (
        "import asyncio; from tests.serve.ingress.test_haproxy_keeper import Stub\n"
        "async def serve():\n"
        f"    async with Stub({name!r}) as stub:\n"
        "        print(stub.port, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(serve())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        try:
            yield ServingProcess(name, it)
        finally:
            it.kill()


test_a_killed_haproxy_is_there_again_at_once = run(_killed)
test_a_request_whose_replica_dies_goes_to_another = run(_lost_replica)
test_what_is_no_request_is_refused = run(_unread)
test_haproxys_own_errors_have_the_form_of_all = run(_nobody)
test_a_reload_breaks_nothing = run(_reloaded)
test_a_new_serve_process_takes_over_once_it_knows_replicas = run(_serve_starts_anew)
test_a_drain_answers_what_was_taken_in_and_refuses_the_rest = run(_drained)
test_haproxy_ends_with_its_keeper = run(_ended_with_serve)
test_a_killed_keeper_has_a_spare_again_and_again = run(_keeper_killed)
test_a_spare_ends_with_the_endpoint = run(_forsaken)
test_a_suspended_replica_is_out_of_turn_until_it_goes_on = run(_suspended)
