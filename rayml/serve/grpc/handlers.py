"""The calls of the service `inference.GRPCInferenceService`, as a server of gRPC registers them.

Ray Serve's proxies import this module and need no model, so it imports none.
"""

from __future__ import annotations

from typing import Any, Final

import grpc

SERVICE: Final = "inference.GRPCInferenceService"
METHODS: Final = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
)


class Encoded:
    """A message that is serialized; Ray Serve asks the answer of a call for its bytes."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 (the name that protobuf gives it)
        """The bytes."""
        return self._data


def add_to_server(servicer: Any, server: Any) -> None:
    """Let a server of gRPC answer the service.

    Args:
        servicer: has the six methods; Ray Serve gives one of its own.
        server: of gRPC.
    """
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method), response_serializer=Encoded.SerializeToString
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
