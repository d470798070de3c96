"""What is rare in HTTP, and what a browser must not be made to do, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayml.serve.endpoint import Endpoint, start
from rayml.serve.ingress.ingress import Ingress
from rayml.settings.serve import ReplicaSettings, ServeSettings

LIMIT = 50_000
SHOP = "https://shop.example"
ROW = b'{"size": 1.5, "colour": "red"}'


@pytest.fixture(scope="module", params=["proxy", "haproxy"])
def endpoint(request: pytest.FixtureRequest, bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    ingress: Ingress = request.param
    settings = ServeSettings(
        port=0,
        ingress=ingress,
        replicas=ReplicaSettings(min=1, max=1, cpu=0.5),
        max_body_bytes=LIMIT,
        hosts=("lab.example",),
        origins=(SHOP,),
    )
    running = start(bundle, version="7", settings=settings)
    yield running
    running.stop()


class Talk:
    """A connection, spoken to in bytes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout=60)
        self._file = self._socket.makefile("rb")
        self._name = f"{endpoint.host}:{endpoint.port}"

    def send(self, line: str, *, body: bytes = b"", **headers: Any) -> None:
        """Send a request; its host is the endpoint's own unless one is given."""
        named = {"Host": self._name, **{k.replace("_", "-"): v for k, v in headers.items()}}
        head = [f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode() + body)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer, an interim one included."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self._file.read(int(headers.get("content-length", 0)))

    def ask(self, line: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        self.send(line, **more)
        return self.answer()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def talk(endpoint: Endpoint) -> Iterator[Talk]:
    talk = Talk(endpoint)
    yield talk
    talk.close()


def post(talk: Talk, **headers: Any) -> tuple[int, dict[str, str], bytes]:
    return talk.ask(
        "POST /predict",
        body=ROW,
        Content_Type="application/json",
        Content_Length=len(ROW),
        **headers,
    )


def test_options_of_everything(talk: Talk) -> None:
    status, headers, body = talk.ask("OPTIONS *")
    assert (status, headers["allow"], body) == (200, "GET, HEAD, POST, OPTIONS", b"")
    # The connection goes on.
    assert talk.ask("OPTIONS /predict")[1]["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("method", ["FOO", "get", "CONNECT", "PROPFIND", "PUT", "DELETE", "TRACE"])
def test_no_method_gets_a_page_of_text(talk: Talk, method: str) -> None:
    named = {"Host": "a.example:443"} if method == "CONNECT" else {}
    status, headers, body = talk.ask(f"{method} {named.get('Host', '/predict')}", **named)
    assert status in ({405, 501} if method != "CONNECT" else {400, 501})
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]
    if status != 400:
        assert "OPTIONS" in headers["allow"]


@pytest.mark.parametrize("size", [LIMIT + 1, 2**40])
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(talk: Talk, size: int) -> None:
    talk.send(
        "POST /predict",
        Content_Type="application/json",
        Content_Length=size,
        Expect="100-continue",
    )
    status, _, body = talk.answer()
    assert status == 413
    assert f"more than {LIMIT} bytes" in json.loads(body)["error"]


def test_a_body_that_fits_is_asked_for(talk: Talk) -> None:
    talk.send(
        "POST /predict",
        Content_Type="application/json",
        Content_Length=len(ROW),
        Expect="100-continue",
    )
    assert talk.answer()[0] == 100
    talk.write(ROW)
    assert talk.answer()[0] == 200


def test_foreign_names_and_pages_are_refused(talk: Talk) -> None:
    for host in ("evil.example", "evil.example:80"):
        status, _, body = post(talk, Host=host)
        assert status == 421
        assert "serve.hosts" in json.loads(body)["error"]
        assert talk.ask("GET /metadata", Host=host)[0] == 421
        assert talk.ask("GET /readyz", Host=host)[0] == 200
    for host in ("localhost", "lab.example", "lab.example:1"):
        assert post(talk, Host=host)[0] == 200
    status, _, body = post(talk, Origin="https://evil.example")
    assert status == 403
    assert "serve.origins" in json.loads(body)["error"]


def test_a_named_site_asks_from_a_browser(talk: Talk) -> None:
    asked = {"Origin": SHOP, "Access_Control_Request_Method": "POST"}
    status, headers, _ = talk.ask(
        "OPTIONS /predict", Access_Control_Request_Headers="content-type", **asked
    )
    assert (status, headers["access-control-allow-origin"]) == (200, SHOP)
    assert headers["access-control-allow-headers"] == "content-type"
    status, headers, _ = post(talk, Origin=SHOP)
    assert (status, headers["access-control-allow-origin"]) == (200, SHOP)
