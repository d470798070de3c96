"""Says in a sentence what a decision rule answers."""

from __future__ import annotations

from rayml.tasks.decisions.rule import DecisionRule
from rayml.types import TargetInfo


def rule_text(rule: DecisionRule, target: TargetInfo) -> str:
    """What a rule answers and why, without a full stop."""
    if rule.threshold is not None:
        what = f"`{target.classes[1]}` is answered from a probability of {rule.threshold:.4g} on"
    elif rule.by_cost:
        what = "The class of the least expected cost is answered"
    else:
        what = "The class is answered whose probability is the largest multiple of its frequency"
    if rule.compared is None:
        return f"{what}, which costs the least where probabilities are right"
    found = rule.compared
    return (
        f"{what}: {rule.metric} {found.decided:.4g} on {found.rows:,} validation rows that did not"
        f" set it, {found.usual:.4g} by the most probable class"
    )
