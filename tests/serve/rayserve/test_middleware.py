"""What stands around Serve's HTTP servers."""

from __future__ import annotations

import asyncio

import pytest

from rayml.serve.http.body import Message
from rayml.serve.http.messages import Scope
from rayml.serve.rayserve.bypass import middlewares
from rayml.serve.rayserve.middleware import RequestIds

OTHERS = [(b"host", b"x"), (b"accept", b"*/*")]


class App:
    """Remembers the scopes that it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: object, send: object) -> None:
        self.scopes.append(scope)


def serves(app: object) -> RequestIds:
    """As Serve puts its own middleware and those of a callback around an app."""
    from ray.serve._private.http_util import _apply_middlewares, validate_http_proxy_callback_return

    around = _apply_middlewares(app, validate_http_proxy_callback_return(middlewares()))
    assert isinstance(around, RequestIds)
    return around


def call(headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[tuple[bytes, bytes]]:
    app = App()
    around = serves(app)

    async def nothing(message: Message | None = None) -> Message:
        raise AssertionError("the app neither reads nor answers")

    asyncio.run(around({"type": kind, "headers": headers}, nothing, nothing))
    given: list[tuple[bytes, bytes]] = app.scopes[0]["headers"]
    return given


def test_serves_own_naming_is_taken_off() -> None:
    app = App()
    assert serves(app).app is app


def test_a_good_name_is_passed_on() -> None:
    named = [(b"x-request-id", b"seven"), *OTHERS]
    assert call(named) == named


@pytest.mark.parametrize("given", [[], [b"a b"], [b"\xff"], [b"z" * 500], [b"one", b"a b"]])
def test_any_other_is_replaced_by_one_that_serve_can_read(given: list[bytes]) -> None:
    *others, (header, name) = call([*OTHERS, *((b"x-request-id", each) for each in given)])
    assert others == OTHERS
    assert (header, len(name)) == (b"x-request-id", 32)


def test_other_connections_are_left_alone() -> None:
    assert call(OTHERS, kind="websocket") == OTHERS
