"""Clients with the policy of retries that the README has, and a server that refuses at first."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from rayml.serve.rayserve.grpc.refusals import ending_in_trailers
from tests.integration.grpc_calls import RETRY_POLICY, SERVICE

CALL = f"/{SERVICE}/ModelInfer"


class Refusing:
    """Answers only each third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *, service_method: str) -> Any:
        async def handler(message: bytes, context: Any) -> bytes:
            assert service_method == CALL
            self.calls += 1
            context.set_code(grpc.StatusCode.OK)
            if self.calls % 3:
                context.set_code(grpc.StatusCode.UNAVAILABLE)
                context.set_details("come again")
                context.set_trailing_metadata([("grpc-retry-pushback-ms", "1"), ("x-y", "z")])
                return b""
            return message

        return handler


async def ask(factory: Any, *, policy: bool) -> bytes:
    handler = grpc.unary_unary_rpc_method_handler(factory(service_method=CALL))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.service_config", RETRY_POLICY)] if policy else []
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            answer: bytes = await channel.unary_unary(CALL)(b"x", timeout=60)
            return answer
    finally:
        await server.stop(None)


def test_a_client_with_a_policy_sends_a_refused_call_again() -> None:
    refusing = Refusing()
    assert asyncio.run(ask(ending_in_trailers(refusing), policy=True)) == b"x"
    assert refusing.calls == 3


def test_a_client_without_one_sees_status_details_and_metadata() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asyncio.run(ask(ending_in_trailers(Refusing()), policy=False))
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "come again")
    # Of a call that ends in trailers alone, they are where its head would be.
    assert ("x-y", "z") in [*error.initial_metadata(), *error.trailing_metadata()]


def test_handlers_of_streams_stay_as_they_are() -> None:
    async def stream(_request: Any, _context: Any) -> Any:
        yield b""

    assert ending_in_trailers(lambda: stream)() is stream
