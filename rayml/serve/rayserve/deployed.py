"""The status of an endpoint's application, as Ray Serve reports it."""

from __future__ import annotations

import re
from typing import Any

from rayml.errors import ServeError

APPLICATION = "rayml"
"""Name of the application."""

_EXCEPTION = re.compile(r"[\w.]+(Error|Exception): ")


def runs() -> bool:
    """Whether it runs.

    Raises:
        ServeError: a replica does not load its bundle.
    """
    found = status()
    if found is not None and found.status in {"DEPLOY_FAILED", "UNHEALTHY"}:
        raise ServeError(
            f"a replica did not start ({cause()})",
            found=str(found.status),
            remedy="Mend the cause; the replicas' logs are in serve/ of Ray's log folder",
        )
    return found is not None and found.status == "RUNNING"


def status() -> Any:
    """The status that Serve reports; None if it is not deployed."""
    from ray import serve

    return serve.status().applications.get(APPLICATION)


def cause() -> str:
    """The exception in a replica's traceback, else all messages of Serve."""
    found = status()
    if found is None:
        return "not deployed"
    messages = [found.message, *(each.message for each in found.deployments.values())]
    lines = [line.strip() for message in messages for line in message.splitlines()]
    raised = [line for line in lines if _EXCEPTION.match(line)]
    return raised[-1] if raised else " ".join(line for line in lines if line)
