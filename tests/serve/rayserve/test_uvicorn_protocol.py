"""Answers of uvicorn leave in one piece, and are the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn import config as uvicorn_config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from rayml.errors import ServeError
from rayml.serve.rayserve.uvicorn_protocol import (
    JsonErrors,
    OneWriteProtocol,
    write_answers_at_once,
)

Send = Callable[[dict[str, Any]], Awaitable[None]]


LARGE = b"x" * 100_000


class Transport(asyncio.Transport):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 8)})
        self.writes: list[bytes] = []
        self.lines: list[list[bytes]] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        if data:
            self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.lines.append(list(list_of_data))
        self.write(b"".join(self.lines[-1]))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    """Answer as its path says."""
    path = scope["path"]
    if path == "/echo":
        body = (await receive())["body"]
        await answer(send, body)
    elif path == "/parts":
        await answer(send, b"one", b"two", b"three")
    elif path == "/chunked":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/part-like-a-head":
        await answer(send, b"one", b"HTTP/1.1 ", b"three")
    elif path == "/large":
        await answer(send, LARGE)
    elif path == "/empty":
        await answer(send, b"")
    elif path == "/head-alone":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("before its body")
    else:
        await answer(send, b"HTTP/1.1 is what this body begins with")


async def answer(send: Send, *parts: bytes) -> None:
    length = b"%d" % sum(map(len, parts))
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", length)],
        }
    )
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1]})


def ask(protocol: type[HttpToolsProtocol], *requests: bytes) -> Transport:
    """Send requests over one connection; give what was written."""

    async def main() -> Transport:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=protocol,
            date_header=False,
            log_config=None,
        )
        config.load()
        server = protocol(config=config, server_state=ServerState(), app_state={})
        transport = Transport()
        server.connection_made(transport)
        for request in requests:
            server.data_received(request)
            # Until it is answered, or waits for more.
            for _ in range(50):
                await asyncio.sleep(0)
        return transport

    return asyncio.run(main())


def get(path: str, method: str = "GET", more: str = "", body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode() + body


ECHO = get("/echo", "POST", "content-length: 3\r\n", b"abc")
REQUESTS = {
    "a body": (ECHO,),
    "two one after the other": (ECHO, get("/parts")),
    "two at once": (ECHO + get("/empty"),),
    "a body in parts": (get("/parts"),),
    "a body in chunks": (get("/chunked"),),
    "a part like a head": (get("/part-like-a-head"),),
    "a large body": (get("/large"),),
    "no body": (get("/empty"),),
    "its head alone": (get("/echo", "HEAD"), get("/else", "HEAD")),
    "a body like a head": (get("/else"),),
    "no more after it": (get("/parts", more="connection: close\r\n"),),
    "an app that fails": (get("/head-alone"),),
    "a body that is asked for": (
        get("/echo", "POST", "content-length: 3\r\nexpect: 100-continue\r\n"),
        b"abc",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_bytes_are_those_of_uvicorn(name: str) -> None:
    plain, joined = (ask(each, *REQUESTS[name]) for each in (HttpToolsProtocol, OneWriteProtocol))
    assert b"".join(joined.writes) == b"".join(plain.writes)
    assert joined.closed == plain.closed


@pytest.mark.parametrize("protocol", [JsonErrors, OneWriteProtocol])
@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"what is this\r\n\r\n", 501), (get("/echo", "FOO"), 501), (b"GET / HTTP/x\r\n\r\n", 400)],
)
def test_what_is_no_request_is_told_in_json(
    protocol: type[HttpToolsProtocol], request_: bytes, status: int
) -> None:
    transport = ask(protocol, request_)
    head, _, body = b"".join(transport.writes).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-length: %d\r\n" % len(body) in head
    assert json.loads(body)["error"]
    assert (b"allow: GET, HEAD, POST, OPTIONS" in head) == (status == 501)
    assert transport.closed


@pytest.mark.parametrize(
    ("name", "count"), [("a body", 1), ("two at once", 2), ("no body", 1), ("a large body", 1)]
)
def test_an_answer_is_one_write(name: str, count: int) -> None:
    assert len(ask(OneWriteProtocol, *REQUESTS[name]).writes) == count
    # It is news if uvicorn comes to do so by itself.
    assert len(ask(HttpToolsProtocol, *REQUESTS[name]).writes) > count or name == "no body"


def test_later_parts_of_a_body_are_not_held() -> None:
    first, *others = ask(OneWriteProtocol, get("/parts")).writes
    assert first.endswith(b"\r\n\r\none")
    assert others == [b"two", b"three"]


def test_a_large_body_is_not_copied() -> None:
    ((_, body),) = ask(OneWriteProtocol, get("/large")).lines
    assert body is LARGE


def test_what_looks_like_a_head_is_not_held() -> None:
    first, second, third = ask(OneWriteProtocol, get("/part-like-a-head")).writes
    assert (first[-3:], second, third) == (b"one", b"HTTP/1.1 ", b"three")


def test_a_client_is_told_at_once_to_send_its_body() -> None:
    said = ask(OneWriteProtocol, REQUESTS["a body that is asked for"][0]).writes
    # The rest is what becomes of a request whose server ends.
    assert said[0] == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_servers_that_start_later_write_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_config, "HTTP_PROTOCOLS", dict(uvicorn_config.HTTP_PROTOCOLS))
    write_answers_at_once()
    # As Serve makes it.
    config = uvicorn.Config(app, loop="none", log_config=None)  # type: ignore[arg-type]
    config.load()
    assert config.http_protocol_class is OneWriteProtocol


def test_another_uvicorn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_config, "HTTP_PROTOCOLS", {"h11": "some.where:H11"})
    with pytest.raises(ServeError, match="no HTTP protocol named 'auto'"):
        write_answers_at_once()
