"""Calls of the service by the factory that Ray Serve makes handlers with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rayml.serve.grpc.handlers import SERVICE
from rayml.serve.grpc.standard import Call, failed
from rayml.serve.rayserve.private_names import Private, attribute

Factory = Callable[..., Any]
_LIST: Final = "/ray.serve.RayServeAPIService/ListApplications"


def calls(factory: Factory) -> Callable[[str], Call]:
    """Make a function that gives a method of the service by its name.

    Args:
        factory: of Serve's handlers.
    """

    def call(method: str) -> Call:
        kind = attribute(Private.STREAMING_TYPE.find(), "UNARY_UNARY")
        handler: Call = factory(service_method=f"/{SERVICE}/{method}", streaming_type=kind)
        return handler

    return call


def guarding_the_list(factory: Factory, call: Callable[[str], Call]) -> Factory:
    """Make a factory whose handler of Serve's list of applications asks for the key first.

    Args:
        factory: of Serve's handlers.
        call: gives a method of the service.
    """

    def make(*, service_method: str, streaming_type: Any) -> Any:
        handler = factory(service_method=service_method, streaming_type=streaming_type)
        if service_method != _LIST or streaming_type.name != "UNARY_UNARY":
            return handler
        check = call("ServerMetadata")

        async def answer(request: Any, context: Any) -> Any:
            refused = await check(b"", context)
            return refused if failed(context) else await handler(request, context)

        return answer

    return make
