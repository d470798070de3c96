"""The problems of settings, in a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pydantic

from rayml.config.secrets import masked

# Characters of a value that is shown: a whole section does not show what is wrong in it.
_LONGEST = 100


def problems_of(error: pydantic.ValidationError, prefix: str = "") -> Iterator[str]:
    """One line for each problem, with the config key that it is about.

    Args:
        error: of settings that could not be built.
        prefix: of the keys, such as `train.`.
    """
    for found in error.errors():
        key = prefix + ".".join(map(str, found["loc"]))
        if found["type"] == "unexpected_keyword_argument":
            yield f"{key}: unknown key; remove it, or check its spelling"
        elif found["type"] == "missing":
            yield f"{key}: a value is missing; set {key}=…"
        elif found["type"] == "value_error":  # ours, which is complete by itself
            yield f"{key.rstrip('.')}: {found['ctx']['error']}"
        else:
            yield f"{key}: {_lowered(found['msg'])}{_shown(found['input'])}"


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    shown = repr(masked(value) if isinstance(value, str) else value)
    if isinstance(value, Mapping) or len(shown) > _LONGEST:
        return ""
    return f": {shown}"
