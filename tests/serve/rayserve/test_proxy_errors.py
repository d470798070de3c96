"""Serve's proxy answers in the endpoint's form, whatever becomes of a request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rayml.serve.rayserve.middleware import RequestIds
from rayml.serve.rayserve.proxy_errors import ProxyErrors, middlewares


def ask(messages: list[dict[str, Any]], headers: list[Any] = []) -> tuple[list[Any], Any]:  # noqa: B006
    seen: list[Any] = []
    sent: list[Any] = []

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    asyncio.run(ProxyErrors(proxy)(scope, receive, send))
    return sent, seen[0]


def answer(status: int, kind: bytes, body: bytes, **more: bytes) -> list[dict[str, Any]]:
    headers = [(b"content-type", kind), *((key.encode(), each) for key, each in more.items())]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body[:3], "more_body": True},
        {"type": "http.response.body", "body": body[3:]},
    ]


@pytest.mark.parametrize("status", [404, 408, 429, 499, 500, 503])
def test_text_becomes_json_of_the_same_status(status: int) -> None:
    text = answer(status, b"text/plain; charset=utf-8", b"Traceback: secret")
    (start, body), _ = ask(text, [(b"x-request-id", b"7")])
    headers = dict(start["headers"])
    assert start["status"] == status
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-request-id"] == b"7"
    assert (b"retry-after" in headers) == (status in {429, 503})
    assert isinstance(json.loads(body["body"])["error"], str)
    assert b"secret" not in body["body"]


@pytest.mark.parametrize(
    "messages",
    [
        answer(200, b"text/plain", b"success"),
        answer(422, b"application/json", b'{"error":"x"}'),
        answer(503, b"application/json", b'{"error":"x"}'),
    ],
)
def test_other_answers_are_left_alone(messages: list[dict[str, Any]]) -> None:
    assert ask(messages)[0] == messages


def test_silence_becomes_an_error() -> None:
    (start, body), _ = ask([])
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert "send it again" in json.loads(body["body"])["error"]


def test_a_client_does_not_set_serves_own_limits() -> None:
    mine = (b"x-request-id", b"1")
    headers = [(b"x-request-timeout-seconds", b"0"), mine, (b"x-request-disconnect-disabled", b"1")]
    _, scope = ask(answer(200, b"text/plain", b"ok"), headers)
    assert scope["headers"] == [mine]


def test_serve_takes_it() -> None:
    from ray.serve._private.http_util import validate_http_proxy_callback_return

    around = validate_http_proxy_callback_return(middlewares())
    # Requests are named next to the proxy, so that errors of the proxy have the name too.
    assert [each.cls for each in around] == [RequestIds, ProxyErrors]


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("POST", "/predict", b"101", 413),
        ("POST", "/x", b"9" * 30, 413),
        ("OPTIONS", "*", b"0", 200),
    ],
)
def test_no_replica_is_asked_what_needs_none(
    method: str, path: str, length: bytes, status: int
) -> None:
    sent: list[Any] = []

    async def never(*_: Any) -> None:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", length), (b"x-request-id", b"7")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(ProxyErrors(never, max_body_bytes=100)(scope, never, send))
    assert sent[0]["status"] == status
    assert dict(sent[0]["headers"])[b"x-request-id"] == b"7"
