"""The limit on bodies, for the proxies in front of the replicas; in an environment variable."""

from __future__ import annotations

import os

_VARIABLE = "RAYML_MAX_BODY_BYTES"


def of_largest_body(size: int) -> dict[str, str]:
    """The environment variable with the limit in bytes."""
    return {_VARIABLE: str(size)}


def largest_body() -> int | None:
    """Largest body in bytes; None where the variable is not set."""
    size = os.environ.get(_VARIABLE)
    return None if size is None else int(size)
