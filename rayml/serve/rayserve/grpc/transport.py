"""Calls of gRPC reach a replica by Ray Serve's proxy, or by HAProxy straight into the replica.

HAProxy ends the HTTP/2 of clients and balances each call over the replicas. The server is Serve's,
so that a call counts for autoscaling, waits for a replica where there is none, and outlives a swap,
which a port of the replica's own would not give.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from rayml.serve.grpc.handlers import SERVICE, add_to_server
from rayml.serve.grpc.open_inference_pb2 import ServerReadyRequest, ServerReadyResponse
from rayml.serve.grpc.standard import add_standard_services
from rayml.serve.rayserve.grpc.bypass import bypassing
from rayml.serve.rayserve.grpc.calls import calls, guarding_the_list
from rayml.serve.rayserve.grpc.proxy_errors import mend_proxy
from rayml.serve.rayserve.grpc.refusals import ending_in_trailers
from rayml.serve.rayserve.private_names import Private, attribute
from rayml.settings.serve import ServeSettings

if TYPE_CHECKING:
    from ray.serve.config import gRPCOptions

_CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
_HOST = "RAYML_GRPC_HOST"
_NEXT = "RAYML_GRPC_NEXT_CALLBACK"
_LARGEST_MESSAGE = "RAYML_GRPC_LARGEST_MESSAGE"
_SHARED = "grpc.so_reuseport"
# Serve's own are among those that the kernel gives to outgoing connections.
_REPLICAS_PORTS = {
    "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": "31000",
    "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": "32000",
}
# The app refuses a body that is a little too large, with a clearer error than gRPC's.
_MARGIN = 4096


def grpc_options(port: int, *, timeout_s: float) -> gRPCOptions:
    """Options of Serve's servers.

    Args:
        port: of the endpoint.
        timeout_s: after which Serve ends a call that the app did not.
    """
    from ray.serve.config import gRPCOptions

    return gRPCOptions(
        port=port,
        grpc_servicer_functions=[f"{add_to_server.__module__}.{add_to_server.__name__}"],
        request_timeout_s=timeout_s,
        # Serve's own reflection looks for the messages in protobuf's default pool, where they are
        # not, and needs no key; `rayml.serve.grpc.standard` has another.
        enable_reflection=False,
    )


def grpc_environment(
    variables: Mapping[str, str], host: str, settings: ServeSettings, *, fallback_port: int
) -> dict[str, str]:
    """Environment variables of the Serve controller, which its proxies and replicas inherit.

    Args:
        variables: those of HTTP.
        host: that the servers of proxies and replicas are bound to.
        settings: of the endpoint.
        fallback_port: of the proxy that HAProxy falls back to.
    """
    return {
        **variables,
        _HOST: f"[{host}]" if ":" in host else host,
        _NEXT: variables.get(_CALLBACK, ""),
        _CALLBACK: f"{__name__}.{prepare_servers.__name__}",
        **{name: os.environ.get(name, value) for name, value in _REPLICAS_PORTS.items()},
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_port),
        _LARGEST_MESSAGE: str(settings.max_body_bytes + _MARGIN),
    }


def prepare_servers() -> list[Any]:
    """Set up Serve's servers of gRPC in this process: their host, limit, errors and services.

    Serve calls it before it starts its servers, in proxies and replicas. They would listen on all
    interfaces, and take the same size of messages in and out, for which there are no options:
    answers, which a request's rows bound, may be larger than requests.

    Returns:
        The middlewares that Serve asks for, as the callback of HTTP gives them.
    """
    host = os.environ[_HOST]

    def add_grpc_address(server: Any, address: str) -> None:
        # It has no handlers yet.
        factory = bypassing(attribute(server, "service_handler_factory"))
        call = calls(factory)
        server.service_handler_factory = ending_in_trailers(guarding_the_list(factory, call))
        add_standard_services(server, call)
        server.add_insecure_port(f"{host}:{address.rpartition(':')[2]}")

    Private.ADD_GRPC_ADDRESS.replace(add_grpc_address)
    Private.GRPC_SERVER.replace(_unshared(Private.GRPC_SERVER.find()))
    limit = ("grpc.max_receive_message_length", int(os.environ[_LARGEST_MESSAGE]))
    others = [each for each in Private.GRPC_OPTIONS.find() if each[0] != limit[0]]
    Private.GRPC_OPTIONS.replace([*others, limit])
    mend_proxy()
    module, _, name = os.environ[_NEXT].rpartition(".")
    if not module:
        return []
    middlewares: list[Any] = getattr(importlib.import_module(module), name)()
    return middlewares


def _unshared(server: Callable[..., Any]) -> Callable[..., Any]:
    """Make Serve's server, whose port is shared only if Serve asks for that.

    Serve passes the option as text where gRPC takes a number, so gRPC shares the port in any case:
    replicas of two endpoints would listen at one port, and each would answer calls for the other.
    """

    def made(*arguments: Any, extra_options: Iterable[tuple[str, Any]] = (), **more: Any) -> Any:
        options = dict(extra_options)
        options[_SHARED] = int(options.get(_SHARED, 0))
        return server(*arguments, extra_options=list(options.items()), **more)

    return made


def answers(address: str, seconds: float) -> bool:
    """Whether a replica answers calls at an address, asked once."""
    with grpc.insecure_channel(address) as channel:
        ready = channel.unary_unary(
            f"/{SERVICE}/ServerReady",
            request_serializer=ServerReadyRequest.SerializeToString,
            response_deserializer=ServerReadyResponse.FromString,
        )
        try:
            return bool(ready(ServerReadyRequest(), timeout=max(seconds, 0.1)).ready)
        except grpc.RpcError as error:
            # An endpoint that requires a key has answered.
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
