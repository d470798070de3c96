"""Keeps closed the port of a replica by which other deployments would ask it.

Ray Serve opens it in each replica, on all interfaces, asks for no token there and unpickles what
arrives: any client that reaches it runs code. No request of rayml comes that way: HAProxy speaks
HTTP, and Serve's proxy calls a replica as an actor (`RAY_SERVE_USE_GRPC_BY_DEFAULT=0`), which Ray's
own token guards.
"""

from __future__ import annotations

from rayml.serve.rayserve.private_names import Private


def keep_internal_port_closed() -> None:
    """Let Serve in this process open no such port; called before the replica is initialised.

    Raises:
        ServeError: this Ray opens the port in another way.
    """
    Private.ADD_INTERNAL_PORT.replace(_add_no_port)


def _add_no_port(_server: object, _address: str) -> int:
    return 0
