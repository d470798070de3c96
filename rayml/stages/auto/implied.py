"""Which commands mean `space=auto`."""

from __future__ import annotations

from collections.abc import Sequence

from rayml.stages.auto.policy import is_given, key_of

AUTO = "space=auto"
_NAMED = ("model", "space", "experiment")  # an experiment may hold both


def implied(verb: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """What a command means by its overrides: `run` without a model or a space is `space=auto`."""
    keys = [key_of(each) for each in overrides]
    below = any(each.startswith(f"{group}.") for each in keys for group in _NAMED)
    named = below or any(is_given(group, keys) for group in _NAMED)
    return (AUTO,) if verb == "run" and not named else ()
