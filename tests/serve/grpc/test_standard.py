"""Health and reflection by the stubs that any client has, on Serve's own server; no Ray runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rayml.serve.grpc.handlers import SERVICE, add_to_server
from rayml.serve.grpc.open_inference_pb2 import ServerReadyResponse
from rayml.serve.grpc.standard import add_standard_services
from rayml.serve.rayserve.grpc.calls import calls, guarding_the_list
from rayml.serve.rayserve.grpc.refusals import ending_in_trailers

LIST = "/ray.serve.RayServeAPIService/ListApplications"
HEALTHZ = "/ray.serve.RayServeAPIService/Healthz"
KEY = (("authorization", "Bearer secret"),)
Status = health_pb2.HealthCheckResponse


class Service:
    """What stands behind the server: it is ready or not, and may ask for a key."""

    def __init__(self, *, keys: bool) -> None:
        self.ready = True
        self.keys = keys

    def factory(self, *, service_method: str, streaming_type: Any) -> Any:
        async def answer(_: Any, context: Any) -> bytes:
            asks = service_method.endswith("ServerMetadata")
            if asks and self.keys and KEY[0] not in context.invocation_metadata():
                context.set_code(grpc.StatusCode.UNAUTHENTICATED)
                context.set_details("a key is asked for")
                return b""
            if service_method.endswith("ServerReady"):
                if not self.ready:
                    context.set_code(grpc.StatusCode.UNAVAILABLE)
                    return b""
                if not context.code():  # as Serve has it
                    context.set_code(grpc.StatusCode.OK)
                message: bytes = ServerReadyResponse(ready=True).SerializeToString()
                return message
            return service_method.encode()

        return answer


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    from ray.serve._private.grpc_util import gRPCGenericServer
    from ray.serve.generated.serve_pb2_grpc import add_RayServeAPIServiceServicer_to_server

    call = calls(service.factory)
    factory = guarding_the_list(service.factory, call)
    server = gRPCGenericServer(ending_in_trailers(factory))
    add_standard_services(server, call)
    for add in (add_RayServeAPIServiceServicer_to_server, add_to_server):
        add(Mock(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def run(
    test: Callable[[Service, grpc.aio.Channel], Awaitable[None]], *, keys: bool = False
) -> None:
    async def whole() -> None:
        service = Service(keys=keys)
        async with serving(service) as channel:
            await test(service, channel)

    asyncio.run(asyncio.wait_for(whole(), 100))


def code(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> grpc.StatusCode:
    return error.value.code()


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("name", ["", SERVICE])
def test_the_check_says_whether_the_service_predicts(name: str, keys: bool) -> None:
    async def test(service: Service, channel: grpc.aio.Channel) -> None:
        check = health_pb2_grpc.HealthStub(channel).Check
        request = health_pb2.HealthCheckRequest(service=name)
        assert (await check(request)).status == Status.SERVING
        service.ready = False
        assert (await check(request)).status == Status.NOT_SERVING

    run(test, keys=keys)


def test_the_check_of_an_unknown_service_is_not_found() -> None:
    async def test(_: Service, channel: grpc.aio.Channel) -> None:
        check = health_pb2_grpc.HealthStub(channel).Check
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await check(health_pb2.HealthCheckRequest(service="shop.Cart"))
        assert code(error) is grpc.StatusCode.NOT_FOUND

    run(test)


def test_who_watches_hears_of_each_change() -> None:
    async def test(service: Service, channel: grpc.aio.Channel) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == Status.SERVING
        service.ready = False
        while (await watch.read()).status != Status.NOT_SERVING:
            pass
        service.ready = True
        while (await watch.read()).status != Status.SERVING:
            pass
        unknown = health_pb2.HealthCheckRequest(service="shop.Cart")
        other = health_pb2_grpc.HealthStub(channel).Watch(unknown)
        assert (await other.read()).status == Status.SERVICE_UNKNOWN

    run(test)


def asked(*questions: Any) -> Any:
    return iter([reflection_pb2.ServerReflectionRequest(**each) for each in questions])


def test_reflection_describes_services_and_their_messages() -> None:
    async def test(_: Service, channel: grpc.aio.Channel) -> None:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        symbol = "inference.ModelInferRequest"
        answers = call(asked({"list_services": ""}, {"file_containing_symbol": symbol}))
        listed = [each.name for each in (await answers.read()).list_services_response.service]
        assert listed == sorted(
            [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
        )
        described = (await answers.read()).file_descriptor_response.file_descriptor_proto
        assert any(b"ModelInferRequest" in each for each in described)

    run(test)


def test_reflection_and_the_list_of_applications_ask_for_the_key() -> None:
    async def test(_: Service, channel: grpc.aio.Channel) -> None:
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        question = {"list_services": ""}
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reflect(asked(question)).read()
        assert code(refused) is grpc.StatusCode.UNAUTHENTICATED
        assert (await reflect(asked(question), metadata=KEY).read()).HasField(
            "list_services_response"
        )
        listing = channel.unary_unary(LIST)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await listing(b"")
        assert code(refused) is grpc.StatusCode.UNAUTHENTICATED
        assert await listing(b"", metadata=KEY) == LIST.encode()
        # HAProxy asks it, which has no key.
        assert await channel.unary_unary(HEALTHZ)(b"") == HEALTHZ.encode()

    run(test, keys=True)
