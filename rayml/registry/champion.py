"""Reads the champion of a release, and promotes a version where that was decided."""

from __future__ import annotations

from pathlib import Path

from rayml.registry import release
from rayml.registry.promotion import PromotionDecision
from rayml.registry.release import Release
from rayml.registry.store import Registry


def champion_of(registry: Registry, name: str, seen: Release) -> tuple[int, Path] | None:
    """The champion of a release and the folder of its bundle; None where there is none.

    Raises:
        RegistryError: the folder of its version is gone.
    """
    if seen.champion is None:
        return None
    return seen.champion, registry.resolve(name, seen.champion)


def act(
    registry: Registry, name: str, version: int, decision: PromotionDecision, *, seen: Release
) -> None:
    """Make a version champion if that was decided.

    Args:
        registry: holds the version.
        name: of the model.
        version: number of the version.
        decision: whether to promote it, and why.
        seen: the release when the decision was made.

    Raises:
        RegistryError: there is no such version, or someone else promoted another meanwhile.
    """
    if decision.promote:
        registry.change_release(
            name,
            lambda held: release.promote(held, version, decision.reason, decision.figures),
            expected=seen.revision,
        )
