"""The services that clients of gRPC expect of any server: its health, and reflection.

`grpc.health.v1.Health` reports whether a replica predicts; like `/readyz` it needs no key.
`grpc.reflection.v1alpha.ServerReflection` describes the services and their messages; it needs the
key that `ServerMetadata` needs. Ray Serve's server answers both, so each first calls the service,
as a client would.

https://grpc.io/docs/guides/health-checking and https://grpc.io/docs/guides/reflection describe
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION

from rayml.serve.grpc.handlers import SERVICE
from rayml.serve.grpc.open_inference_pb2 import DESCRIPTOR, ServerReadyResponse

Call = Callable[[bytes, Any], Awaitable[bytes | None]]
_QUESTION_S = 1.0
_LOOK_S = 1.0
# HAProxy closes a stream on which nothing is sent for longer.
_REPEAT_S = 5.0
_Status = health_pb2.HealthCheckResponse.ServingStatus


def add_standard_services(server: Any, call: Callable[[str], Call]) -> None:
    """Let a server answer them.

    Args:
        server: of Ray Serve, without handlers yet.
        call: gives a method of the service, by its name.
    """
    names = (SERVICE, HEALTH, REFLECTION)
    for name in (HEALTH, REFLECTION):
        server.add_passthrough_service(name)
    health_pb2_grpc.add_HealthServicer_to_server(Health(call("ServerReady")), server)
    reflection = Reflection(names, pool=_pool())
    reflection.check = call("ServerMetadata")
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection, server)


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Reports whether the service predicts.

    Args:
        ready: the service's own call.
    """

    def __init__(self, ready: Call) -> None:
        self._ready = ready

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Report it once."""
        if request.service not in {"", SERVICE}:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        status = await self._status(context)
        context.set_code(grpc.StatusCode.OK)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Report it at once, at each change, and every few seconds."""
        said, age_s = None, 0.0
        while True:
            known = request.service in {"", SERVICE}
            now = await self._status(context) if known else _Status.SERVICE_UNKNOWN
            if now != said or age_s >= _REPEAT_S:
                said, age_s = now, 0.0
                yield health_pb2.HealthCheckResponse(status=now)
            await asyncio.sleep(_LOOK_S)
            age_s += _LOOK_S

    async def _status(self, context: Any) -> Any:
        # Serve leaves the code of an earlier failure as it is.
        context.set_code(grpc.StatusCode.OK)
        message = await self._ready(b"", context)
        if failed(context) or message is None:
            return _Status.NOT_SERVING
        ready = ServerReadyResponse.FromString(message).ready
        return _Status.SERVING if ready else _Status.NOT_SERVING


class Reflection(ReflectionServicer):  # type: ignore[misc]
    """Describes the services to clients with a key, where keys are required."""

    check: Call

    async def ServerReflectionInfo(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answer each question."""
        await self.check(b"", context)
        if failed(context):
            # A client that still writes its question would see INTERNAL in place of the status.
            with suppress(TimeoutError):
                await asyncio.wait_for(anext(aiter(request_iterator), None), _QUESTION_S)
            await context.abort(context.code(), context.details(), context.trailing_metadata())
        async for answer in super().ServerReflectionInfo(request_iterator, context):
            yield answer


def failed(context: Any) -> bool:
    """Whether a call has a status other than OK."""
    return bool(context.code()) and context.code() is not grpc.StatusCode.OK


def _pool() -> DescriptorPool:
    """The descriptors of all services, those of messages that are in no default pool included."""
    pool = DescriptorPool()
    for descriptor in (DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        file = FileDescriptorProto()
        descriptor.CopyToProto(file)
        pool.Add(file)
    return pool
