"""Whether a new version becomes champion: a pure policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rayml.types import Direction

Policy = Literal["always", "better", "never"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to promote, and why in one sentence."""

    promote: bool
    reason: str


def decide(
    candidate: Mapping[str, float | None],
    champion: Mapping[str, float | None] | None,
    *,
    metric: str,
    direction: Direction,
    policy: Policy,
) -> Decision:
    """Decide whether a candidate replaces the champion.

    Args:
        candidate: validation metrics of the candidate.
        champion: validation metrics of the champion; None where there is none.
        metric: the one that is compared.
        direction: whether more or less of it is better.
        policy: `always`, `better` (strictly) or `never`.
    """
    if policy == "never":
        return Decision(False, "the policy is never")
    if policy == "always":
        return Decision(True, "the policy is always")
    new = candidate.get(metric)
    if new is None or not math.isfinite(new):
        return Decision(False, f"the candidate has no {metric}")
    if champion is None:
        return Decision(True, f"there is no champion; {metric} is {new:.6g}")
    old = champion.get(metric)
    if old is None or not math.isfinite(old):
        return Decision(False, f"the champion has no {metric} to compare with")
    better = new > old if direction == "maximize" else new < old
    verb = "beats" if better else "does not beat"
    return Decision(better, f"{metric} {new:.6g} {verb} the champion's {old:.6g}")
