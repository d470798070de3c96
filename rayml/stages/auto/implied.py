"""Which commands mean `space=auto`."""

from __future__ import annotations

from collections.abc import Sequence

from rayml.stages.auto.policy import key_of

AUTO = "space=auto"
# Groups of rayml's that choose neither a model nor a space. Others, of the user's own, may.
_BESIDE = {"data", "task", "train", "confirm", "registry", "serve", "cluster"}
_SETTINGS = {"name", "seed", "auto"}


def implied(verb: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """What a command means by its overrides: `run` without a model or a space is `space=auto`.

    It is not where a group chooses another way to search, such as `search=pbt`, or is the user's
    own, such as `+experiment=mine`, which may choose a model.
    """
    keys = [key_of(each).partition("@")[0] for each in overrides]
    chosen = {each for each in keys if "." not in each} - _BESIDE - _SETTINGS
    below = any(each.startswith(("model.", "space.")) for each in keys)
    return (AUTO,) if verb == "run" and not chosen and not below else ()
