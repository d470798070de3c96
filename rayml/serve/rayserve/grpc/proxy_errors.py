"""Statuses of calls that Ray Serve's own proxy does not get answered.

The proxy answers with `serve.ingress=proxy`, and behind HAProxy while no replica runs. Its status
is INTERNAL for a call whose replica ended, which no client sends again, and RESOURCE_EXHAUSTED for
a full queue, which over HTTP is 503.
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
    """Let the proxy of this process, if there is one, answer UNAVAILABLE where a retry may help."""
    module, _ = Private.GRPC_STATUS.value
    if module in sys.modules:
        Private.GRPC_STATUS.replace(unavailable(Private.GRPC_STATUS.find()))


def unavailable(decide: Decide) -> Decide:
    """Make a function of the same kind that knows which calls may be sent again.

    Args:
        decide: Serve's own, from an error to the status of the call.
    """
    from ray.exceptions import RayActorError
    from ray.serve.exceptions import BackPressureError

    messages = {
        RayActorError: "the replica that held the request has ended; send it again",
        BackPressureError: "too many requests wait",
    }

    def decided(error: BaseException, timeout_s: float | None, request_id: str) -> Any:
        status = decide(error, timeout_s, request_id)
        for kind, message in messages.items():
            if isinstance(error, kind):
                return replace(status, code=grpc.StatusCode.UNAVAILABLE, message=message)
        return status

    return decided
