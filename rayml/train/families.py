"""The families of a config: several models, of which each trial trains one.

The section `model` is either a component, or names a family beside the components of all:
`{family: mlp, mlp: {_target_: …}, lightgbm: {_target_: …}}`. A space that searches `model.family`
searches the settings of a family where it is chosen (`when: {model.family: mlp}`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayml.errors import SpaceError

FAMILY = "family"
FAMILY_KEY = f"model.{FAMILY}"


def chosen_model(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """The component that a section `model` asks for.

    Raises:
        SpaceError: it names a family that it does not have.
    """
    if FAMILY not in section:
        return section
    family = section[FAMILY]
    found = section.get(family) if isinstance(family, str) and family != FAMILY else None
    if not isinstance(found, Mapping):
        known = ", ".join(sorted(set(section) - {FAMILY}))
        raise SpaceError(
            "the config has no such family of models", found=family, remedy=f"Take one of {known}"
        )
    return found


def all_models(section: object) -> dict[str, Any]:
    """The components of a section `model` by their dotted keys."""
    if not isinstance(section, Mapping) or FAMILY not in section:
        return {"model": section}
    return {f"model.{name}": node for name, node in section.items() if name != FAMILY}


def family_of(params: Mapping[str, Any]) -> str:
    """The family that a trial's searched values name; empty where none is searched."""
    return str(params.get(FAMILY_KEY, ""))
