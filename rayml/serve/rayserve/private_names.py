"""The private names of Ray Serve and uvicorn that rayml uses, each looked up by one function.

A release of either may rename them without notice. A replacement under a name that is gone would
have no effect and no error: servers of gRPC, for one, would listen on all interfaces. So a name is
found before it is used or replaced, and all of them are found before an endpoint starts.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rayml.errors import ServeError

REMEDY = "Install the Ray and the uvicorn that rayml's requirements.lock names"
_CONSTANTS = "ray.serve._private.constants"


class Private(Enum):
    """Private names, each as module and path of attributes."""

    HTTP_PROXY_TIMEOUT = ("ray.serve._private.api", "HTTP_PROXY_TIMEOUT")
    REQUEST_METADATA = ("ray.serve._private.common", "RequestMetadata")
    REQUEST_PROTOCOL = ("ray.serve._private.common", "RequestProtocol")
    CONTROLLER_NAME = (_CONSTANTS, "SERVE_CONTROLLER_NAME")
    CONTROLLER_NAMESPACE = (_CONSTANTS, "SERVE_NAMESPACE")
    GRACEFUL_SHUTDOWN = ("ray.serve._private.controller", "ServeController.graceful_shutdown")
    ADD_GRPC_ADDRESS = ("ray.serve._private.default_impl", "add_grpc_address")
    GRPC_SERVER = ("ray.serve._private.grpc_util", "gRPCGenericServer")
    GRPC_PASSTHROUGH = (
        "ray.serve._private.grpc_util",
        "gRPCGenericServer.add_passthrough_service",
    )
    GRPC_OPTIONS = ("ray.serve._private.grpc_util", "DEFAULT_GRPC_SERVER_OPTIONS")
    REQUEST_ID_MIDDLEWARE = ("ray.serve._private.http_util", "RequestIdMiddleware")
    PRINT = ("ray.serve._private.logging_utils", "buildin_print")
    GRPC_STATUS = ("ray.serve._private.proxy", "get_grpc_response_status")
    STREAMING_TYPE = ("ray.serve._private.proxy_request_response", "gRPCStreamingType")
    ADD_INTERNAL_PORT = ("ray.serve._private.replica", "add_port_to_grpc_server")
    COUNT_UP = (
        "ray.serve._private.replica",
        "ReplicaMetricsManager.inc_num_ongoing_requests",
    )
    COUNT_DOWN = (
        "ray.serve._private.replica",
        "ReplicaMetricsManager.dec_num_ongoing_requests",
    )
    HTTP_PROTOCOLS = ("uvicorn.config", "HTTP_PROTOCOLS")
    HTTP_PROTOCOL = ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol")
    CONNECTION_MADE = (
        "uvicorn.protocols.http.httptools_impl",
        "HttpToolsProtocol.connection_made",
    )
    RESPONSE_COMPLETE = (
        "uvicorn.protocols.http.httptools_impl",
        "HttpToolsProtocol.on_response_complete",
    )
    SEND_400 = (
        "uvicorn.protocols.http.httptools_impl",
        "HttpToolsProtocol.send_400_response",
    )

    def find(self) -> Any:
        """The object that has the name.

        Raises:
            ServeError: nothing has it in the installed release.
        """
        owner, name = self.place()
        return getattr(owner, name)

    def replace(self, value: object) -> None:
        """Give the name to another object in this process.

        Raises:
            ServeError: nothing has the name, so that a replacement would have no effect.
        """
        owner, name = self.place()
        setattr(owner, name, value)

    def place(self) -> tuple[Any, str]:
        """The module or class that has the name, and the last part of the name.

        Raises:
            ServeError: nothing has the name.
        """
        module, path = self.value
        *parents, name = path.split(".")
        try:
            owner = importlib.import_module(module)
            for each in parents:
                owner = getattr(owner, each)
            vars(owner)[name]  # its own: a method of a base class is another one
        except (ImportError, AttributeError, KeyError) as error:
            raise missing(f"{module}.{path}") from error
        return owner, name


def attribute(owner: object, name: str, *, remedy: str = REMEDY) -> Any:
    """A private attribute of one of Serve's objects.

    Raises:
        ServeError: the object has none of that name.
    """
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise missing(f"{type(owner).__name__}.{name}", remedy=remedy) from error


def require_private_names() -> None:
    """Find every private name.

    Raises:
        ServeError: one is missing.
    """
    for each in Private:
        each.place()


def require_variables(names: Iterable[str]) -> None:
    """Find every environment variable that is set for Serve.

    Args:
        names: of environment variables; those without Serve's prefix are not looked for.

    Raises:
        ServeError: the installed Serve reads no variable of such a name.
    """
    for each in names:
        if each.startswith("RAY_SERVE_") and each not in _variables():
            raise missing(f"environment variable {each}")


def missing(name: str, *, remedy: str = REMEDY) -> ServeError:
    """The error for a name that the installed releases do not have."""
    package = "uvicorn" if name.startswith("uvicorn") else "Ray Serve"
    return ServeError(f"the installed {package} has no {name}", remedy=remedy)


@cache
def _variables() -> frozenset[str]:
    """Names of environment variables that Serve reads, as its source has them in quotes."""
    spec = find_spec(_CONSTANTS)
    if spec is None or spec.origin is None:
        raise missing(_CONSTANTS)
    source = Path(spec.origin).read_text(encoding="utf-8")
    return frozenset(re.findall(r'"(RAY_SERVE_\w+)"', source))
