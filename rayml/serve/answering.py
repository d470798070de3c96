"""Checks whether an endpoint answers, once for each protocol."""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from typing import Protocol

from rayml.serve.rayserve.grpc.transport import answers as answers_grpc


class Reachable(Protocol):
    """An endpoint's addresses."""

    @property
    def host(self) -> str:
        """That its port of HTTP is bound to."""
        ...

    @property
    def port(self) -> int:
        """Of HTTP."""
        ...

    @property
    def grpc_address(self) -> str | None:
        """Of gRPC; None if it is not answered."""
        ...


def answers(endpoint: Reachable, deadline: float) -> bool:
    """Whether an endpoint answers in all its protocols before a moment of the monotonic clock."""
    address = endpoint.grpc_address
    return _answers_http(endpoint, deadline - time.monotonic()) and (
        address is None or answers_grpc(address, deadline - time.monotonic())
    )


def _answers_http(endpoint: Reachable, seconds: float) -> bool:
    with closing(
        http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=max(seconds, 0.1))
    ) as connection:
        try:
            connection.request("GET", "/readyz")
            # Serve's proxy answers 404 before it knows the application.
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
