"""Acts on a decision about a version: changes the release."""

from __future__ import annotations

from pathlib import Path

from rayml.registry import release
from rayml.registry.promotion import Decision
from rayml.registry.release import Release
from rayml.registry.store import Registry


def champion_of(registry: Registry, name: str, seen: Release) -> tuple[int, Path] | None:
    """The champion of a release and the folder of its bundle; None where there is none.

    Raises:
        RegistryError: its version is gone.
    """
    if seen.champion is None:
        return None
    return seen.champion, registry.resolve(name, seen.champion)


def act(registry: Registry, name: str, version: int, decision: Decision, *, seen: Release) -> None:
    """Make a version champion if that was decided.

    Args:
        registry: that holds the version.
        name: of the model.
        version: its number.
        decision: about it.
        seen: release that the decision was made beside.

    Raises:
        RegistryError: there is no such version, or someone else promoted another meanwhile.
    """
    if decision.promote:
        registry.change_release(
            name,
            lambda held: release.promote(held, version, decision.reason, decision.figures),
            expected=seen.revision,
        )
