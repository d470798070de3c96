"""The status of a call that Ray Serve's own proxy could not have answered.

It is asked with `serve.ingress=proxy`, and behind HAProxy while no replica runs. It says INTERNAL
of a call whose replica ended, which no client sends again, and RESOURCE_EXHAUSTED of a full queue,
which over HTTP is 503.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc

from rayml.serve.rayserve.private_names import Private

Decide = Callable[[BaseException, float | None, str], Any]


def mend_proxy() -> None:
    """Let the proxy in this process, if it is one, say UNAVAILABLE of what may be sent again."""
    module, _ = Private.GRPC_STATUS.value
    if module in sys.modules:
        Private.GRPC_STATUS.replace(unavailable(Private.GRPC_STATUS.find()))


def unavailable(decide: Decide) -> Decide:
    """Make a function of the same kind that knows what may be sent again.

    Args:
        decide: Serve's own, from an error to the status of the call.
    """
    from ray.exceptions import RayActorError
    from ray.serve.exceptions import BackPressureError

    told = {
        RayActorError: "the replica that held the request has ended; send it again",
        BackPressureError: "too many requests wait",
    }

    def decided(error: BaseException, timeout_s: float | None, request_id: str) -> Any:
        status = decide(error, timeout_s, request_id)
        for kind, message in told.items():
            if isinstance(error, kind):
                return replace(status, code=grpc.StatusCode.UNAVAILABLE, message=message)
        return status

    return decided
