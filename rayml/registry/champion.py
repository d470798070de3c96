"""Acts on the promotion policy: compares a version with the champion and changes the release."""

from __future__ import annotations

from rayml.registry import release
from rayml.registry.bundle import read_info
from rayml.registry.promotion import Decision, Policy, decide
from rayml.registry.store import Registry


def promote(registry: Registry, name: str, version: int, policy: Policy) -> Decision:
    """Make a version champion if the policy says so.

    Raises:
        RegistryError: there is no such version, or someone else promoted another meanwhile.
    """
    seen = registry.release(name)
    current = seen.champion
    candidate = read_info(registry.resolve(name, version))
    champion = read_info(registry.resolve(name, current)) if current is not None else None
    decision = decide(
        candidate.metrics["validation"],
        champion.metrics["validation"] if champion else None,
        metric=candidate.metric,
        direction=candidate.direction,
        policy=policy,
    )
    if decision.promote:
        registry.change_release(
            name,
            lambda held: release.promote(held, version, decision.reason),
            expected=seen.revision,
        )
    return decision
