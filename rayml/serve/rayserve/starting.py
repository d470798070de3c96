"""Starts Ray Serve with timeouts that grow with the load of the machine, and again if it fails.

Serve gives its parts fixed times to start, kills those that take longer, and raises errors of
several kinds then. On a machine that is busy with something else none of that is a failure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from rayml.cluster.slowness import slowness
from rayml.errors import ServeError
from rayml.serve.rayserve.private_names import Private

T = TypeVar("T")
_ATTEMPTS = 3
# Serve's own times, but for the first, which is 5 s: less than a proxy's imports may take.
_READY_S = 30.0
_HAPROXY_S = 30.0
_PROXIES_S = 60.0


def start_timeouts() -> dict[str, str]:
    """Environment variables of the Serve controller: the times in which its parts must start."""
    slow = slowness()
    return {
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": f"{_READY_S * slow:.0f}",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": str(math.ceil(_HAPROXY_S * slow)),
    }


def start_with_retries(start: Callable[[], T]) -> T:
    """Start an endpoint, and again where Serve failed.

    Args:
        start: leaves nothing behind where it fails.

    Raises:
        ServeError: it fails each time, or for another reason.
    """
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    # Serve has no option for the time in which the proxies must be ready.
    Private.HTTP_PROXY_TIMEOUT.replace(_PROXIES_S * slowness())
    for left in reversed(range(_ATTEMPTS)):
        try:
            return start()
        except (RayError, RayServeException, RuntimeError, TimeoutError) as error:
            if not left:
                raise _not_started(error) from error
    raise AssertionError


def _not_started(error: BaseException) -> ServeError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Of a traceback the last line is the cause.
    reason = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
    return ServeError(
        f"Ray Serve did not start in {_ATTEMPTS} attempts ({reason})",
        remedy="Try again when the machine has less to do; the logs are in serve/ of Ray's log"
        " folder",
    )
