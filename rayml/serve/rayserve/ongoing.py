"""Counts for Ray Serve the requests of a replica that do not pass through Serve.

Serve scales by that number, and a shutdown waits until it is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rayml.serve.rayserve.private_names import REMEDY, Private, attribute


class Ongoing:
    """Counts a request while a block runs.

    Args:
        method: of Serve's replica, which has the count.
        protocol: that the requests come by.

    Raises:
        ServeError: this Ray counts the requests of a replica in another way.
    """

    __slots__ = ("_begin", "_end", "_kind")

    def __init__(self, method: Any, protocol: Literal["HTTP", "GRPC"]) -> None:
        replica = _part(method, "__self__")
        metrics = _part(replica, "_metrics_manager")
        self._begin = _part(metrics, "inc_num_ongoing_requests")
        self._end = _part(metrics, "dec_num_ongoing_requests")
        self._kind = _kind(_part(_part(replica, "_deployment_id"), "app_name"), protocol)

    def __enter__(self) -> None:
        """Begin."""
        self._begin(self._kind)

    def __exit__(self, *_: object) -> None:
        """End, however the request did."""
        self._end(self._kind)


def _part(owner: object, name: str) -> Any:
    return attribute(owner, name, remedy=f"{REMEDY}, or set serve.ray_metrics=true")


def _kind(application: str, protocol: str) -> Any:
    """Serve's description of a request, as far as Serve counts by it."""
    metadata: Callable[..., Any] = Private.REQUEST_METADATA.find()
    return metadata(
        request_id="",
        internal_request_id="",
        app_name=application,
        _request_protocol=Private.REQUEST_PROTOCOL.find()[protocol],
        is_direct_ingress=True,
    )
