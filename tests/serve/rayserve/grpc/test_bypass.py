"""Calls of a replica are answered by its service, over a real server of gRPC as Serve makes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from ray.serve._private.grpc_util import gRPCGenericServer
from ray.serve._private.proxy_request_response import gRPCStreamingType

from rayml.errors import ServeError
from rayml.serve.grpc.handlers import SERVICE, Encoded, add_to_server
from rayml.serve.rayserve.bypass import bypass_to
from rayml.serve.rayserve.grpc.bypass import bypassing
from rayml.serve.rayserve.grpc.refusals import ending_in_trailers
from tests.serve.rayserve.test_bypass import Replica


class Service:
    """Answers what it is sent, and remembers how many calls Serve knew of."""

    def __init__(self, replica: Serves) -> None:
        self._replica = replica
        self.known: list[int] = []
        self.waits = asyncio.Event()

    async def _answer(self, message: bytes, context: Any) -> Encoded:
        self.known.append(self._replica._metrics_manager.count)
        if message == b"fails":
            raise ZeroDivisionError
        if message == b"waits":
            self.waits.set()
            await asyncio.Event().wait()
        if message == b"refused":
            context.set_trailing_metadata([("grpc-retry-pushback-ms", "7")])
            context.set_code(grpc.StatusCode.UNAVAILABLE)
            context.set_details("too many")
        return Encoded(message)

    ServerLive = ServerReady = ModelReady = ServerMetadata = ModelMetadata = ModelInfer = _answer


class Serves(Replica):
    """Serve's replica, with a factory of its handlers."""

    def factory(self, *, service_method: str, streaming_type: Any) -> Any:
        async def handler(request: bytes, context: Any) -> bytes:
            return b"Serve: " + service_method.encode()

        return handler


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    bypass_to(None, None)


def served(
    main: Callable[[grpc.aio.Channel, Service, Serves], Awaitable[Any]], *, directly: bool = True
) -> Any:
    """Run with a client of a server that Serve has made."""

    async def go() -> Any:
        replica = Serves()
        service = Service(replica)
        if directly:
            bypass_to(None, service)
        factory = ending_in_trailers(bypassing(replica.factory))
        server = gRPCGenericServer(factory, extra_options=[])
        add_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await main(channel, service, replica)
        finally:
            await server.stop(None)

    return asyncio.run(go())


def infer(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(f"/{SERVICE}/ModelInfer")


def test_the_service_answers_and_serve_counts() -> None:
    async def main(channel: grpc.aio.Channel, service: Service, replica: Serves) -> list[bytes]:
        answers = [await infer(channel)(each) for each in (b"one", b"", b"three")]
        assert service.known == [1, 1, 1]
        assert replica._metrics_manager.count == 0
        kinds = replica._metrics_manager.kinds
        assert {(kind.protocol.name, kind.is_direct_ingress) for kind in kinds} == {("GRPC", True)}
        return answers

    assert served(main) == [b"one", b"", b"three"]


def test_elsewhere_serve_is_asked() -> None:
    async def main(channel: grpc.aio.Channel, service: Service, replica: Serves) -> bytes:
        answer: bytes = await infer(channel)(b"one")
        assert not service.known
        return answer

    assert served(main, directly=False) == f"Serve: /{SERVICE}/ModelInfer".encode()


def test_services_of_serve_are_its_own() -> None:
    replica = Serves()
    bypass_to(None, Service(replica))
    make = bypassing(replica.factory)
    healthz = "/ray.serve.RayServeAPIService/Healthz"
    for method, kind in (
        (healthz, gRPCStreamingType.UNARY_UNARY),
        (f"/{SERVICE}/ModelInfer", gRPCStreamingType.UNARY_STREAM),
    ):
        handler = make(service_method=method, streaming_type=kind)
        assert asyncio.run(handler(b"", None)) == b"Serve: " + method.encode()


def test_a_refusal_is_its_status_and_may_be_sent_again() -> None:
    """Its metadata are those of a call without a head, which policies of retries go by."""

    async def main(channel: grpc.aio.Channel, service: Service, replica: Serves) -> None:
        call = infer(channel)(b"refused")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "too many"
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "7"
        assert replica._metrics_manager.count == 0

    served(main)


def test_a_failure_is_logged_once_and_counts_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(channel: grpc.aio.Channel, service: Service, replica: Serves) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await infer(channel)(b"fails")
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert replica._metrics_manager.count == 0

    with caplog.at_level(logging.ERROR):
        served(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_call_that_is_given_up_counts_no_longer() -> None:
    async def main(channel: grpc.aio.Channel, service: Service, replica: Serves) -> None:
        call = infer(channel)(b"waits")
        await service.waits.wait()
        assert replica._metrics_manager.count == 1
        call.cancel()
        while replica._metrics_manager.count:
            await asyncio.sleep(0.001)

    served(main)


def test_another_ray_is_refused() -> None:
    class Other:
        def factory(self) -> None: ...

    bypass_to(None, object())
    with pytest.raises(ServeError, match=r"serve\.ray_metrics=true"):
        bypassing(Other().factory)
