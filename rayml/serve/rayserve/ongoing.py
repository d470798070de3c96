"""Tells Ray Serve how many requests a replica has in hand where it does not see them itself.

Serve scales by that number, and a shutdown waits until it is 0.
"""

from __future__ import annotations

from typing import Any, Literal

from rayml.errors import ServeError


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
        try:
            replica = method.__self__
            metrics = replica._metrics_manager  # noqa: SLF001
            self._begin = metrics.inc_num_ongoing_requests
            self._end = metrics.dec_num_ongoing_requests
            self._kind = _kind(replica._deployment_id.app_name, protocol)  # noqa: SLF001
        except AttributeError as error:
            raise ServeError(
                f"Ray Serve is told how many requests a replica has in hand ({error})",
                remedy="Use the Ray that rayml's lock file names, or serve.ray_metrics=true",
            ) from error

    def __enter__(self) -> None:
        """Begin."""
        self._begin(self._kind)

    def __exit__(self, *_: object) -> None:
        """End, however the request did."""
        self._end(self._kind)


def _kind(application: str, protocol: str) -> Any:
    """Serve's description of a request, as far as it counts it by."""
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    return RequestMetadata(
        request_id="",
        internal_request_id="",
        app_name=application,
        _request_protocol=RequestProtocol[protocol],
        is_direct_ingress=True,
    )
