"""How large a body may be, as those learn it who stand before the replicas."""

from __future__ import annotations

import os

_VARIABLE = "RAYML_MAX_BODY_BYTES"


def of_largest_body(size: int) -> dict[str, str]:
    """The environment variable that tells it."""
    return {_VARIABLE: str(size)}


def largest_body() -> int | None:
    """Bytes of a body at most; None where nobody said."""
    size = os.environ.get(_VARIABLE)
    return None if size is None else int(size)
