"""Passes the calls of a replica straight to its service, as `bypass` does for HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rayml.serve.grpc.handlers import METHODS, SERVICE
from rayml.serve.rayserve import bypass
from rayml.serve.rayserve.grpc.refusals import Handler
from rayml.serve.rayserve.ongoing import Ongoing

_METHODS = {f"/{SERVICE}/{method}": method for method in METHODS}


def bypassing(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Make a factory whose handlers call the service itself, where this process is a replica.

    Args:
        factory: of Serve's handlers, a method of its replica or proxy.

    Raises:
        ServeError: this Ray counts calls in progress in another way.
    """
    service = bypass.service()
    if service is None:
        return factory
    ongoing = Ongoing(factory, "GRPC")

    def make(*, service_method: str, streaming_type: Any) -> Any:
        name = _METHODS.get(service_method)
        if name is None or streaming_type.name != "UNARY_UNARY":
            return factory(service_method=service_method, streaming_type=streaming_type)
        return _handler(getattr(service, name), ongoing)

    return make


def _handler(method: Callable[[bytes, Any], Awaitable[Any]], ongoing: Ongoing) -> Handler:
    async def answer(request: bytes, context: Any) -> bytes:
        with ongoing:
            # gRPC itself logs what is raised.
            message: bytes = (await method(request, context)).SerializeToString()
            return message

    return answer
