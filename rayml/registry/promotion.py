"""Whether a new version becomes champion: a pure policy over measured differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from rayml.types import Count, settings

Policy = Literal["always", "better", "never"]
Verdict = Literal[
    "not compared",
    "no better than a constant",
    "not comparable",
    "first",
    "better",
    "as good",
    "not better",
    "worse",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a candidate is than another, on the same rows.

    Attributes:
        metric: its name.
        candidate: the candidate's value.
        other: the other's value.
        low: lower end of the 95 % interval of the difference; positive is better, whatever the
            direction of the metric.
        high: upper end.
        rows: number of rows.
    """

    metric: str
    candidate: float
    other: float
    low: float
    high: float
    rows: int

    @property
    def better(self) -> bool:
        """Whether chance alone hardly explains that the candidate is better."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether chance alone hardly explains that the candidate is worse."""
        return self.high < 0

    def figures(self) -> dict[str, Any]:
        """The numbers by name, as values of JSON."""
        names = ("metric", "candidate", "other", "low", "high", "rows")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Champion:
    """What a candidate was compared with.

    Attributes:
        version: number of the champion.
        difference: of the candidate from the champion; a sentence with the reason where the two
            cannot be compared.
        ahead: whether the candidate's value is at least as good.
        note: a remark on the comparison.
    """

    version: int
    difference: Difference | str
    ahead: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """The candidate beside the best answer that ignores the row.

    Attributes:
        differences: in the metric, then in a proper score; a sentence with the reason where the
            two cannot be compared.
        ahead: whether the candidate's metric is better at all.
    """

    differences: Sequence[Difference] | str
    ahead: bool = False

    @property
    def beaten(self) -> bool:
        """Whether the candidate is better, and chance hardly explains it."""
        found = self.differences
        return self.ahead and not isinstance(found, str) and any(each.better for each in found)


@settings
class PromotionDecision:
    """Whether to promote, and why.

    Attributes:
        promote: whether the version becomes champion.
        reason: a sentence.
        verdict: result of the comparison.
        against: version that was champion then; None where there was none.
        figures: the measured differences.
    """

    promote: bool
    reason: str
    verdict: Verdict = "not compared"
    against: Count | None = None
    figures: Mapping[str, Any] = Field(default_factory=dict)


def without_comparison(policy: Literal["always", "never"]) -> PromotionDecision:
    """The decision of a policy that compares nothing."""
    return PromotionDecision(
        promote=policy == "always", reason=f"without comparison (registry.promote={policy})"
    )


def decide(
    constant: Constant, champion: Champion | None, *, force: bool = False
) -> PromotionDecision:
    """Decide whether a candidate replaces the champion.

    It has to be better than a constant answer. Beside a champion it must not be worse beyond what
    chance explains; where chance may explain the difference, it has to be at least as good.

    Args:
        constant: the candidate beside a constant answer.
        champion: the candidate beside the champion; None where there is none.
        force: promotes it in any case.
    """
    verdict, reason = _judge(constant, champion)
    found = verdict in ("first", "better", "as good")
    if force and not found:
        reason = f"by registry.force=true, although {reason}"
    figures: dict[str, Any] = {}
    if not isinstance(constant.differences, str):
        figures["constant"] = [each.figures() for each in constant.differences]
    if champion is not None and isinstance(champion.difference, Difference):
        figures["champion"] = champion.difference.figures()
    return PromotionDecision(
        promote=found or force,
        reason=reason,
        verdict=verdict,
        against=None if champion is None else champion.version,
        figures=figures,
    )


def _judge(constant: Constant, champion: Champion | None) -> tuple[Verdict, str]:
    if isinstance(constant.differences, str):
        return "no better than a constant", f"it is not compared: {constant.differences}"
    first = constant.differences[0]
    beside = f"{_value(first)}, {first.other:.4g} by a constant answer"
    if not constant.beaten:
        return "no better than a constant", f"it does not beat a constant answer: {beside}"
    if champion is None:
        return "first", beside
    return _beside_champion(champion)


def _beside_champion(champion: Champion) -> tuple[Verdict, str]:
    difference, version = champion.difference, champion.version
    if isinstance(difference, str):
        return "not comparable", f"it cannot be compared with version {version}: {difference}"
    note = f"; {champion.note}" if champion.note else ""
    comparison = (
        f"{_value(difference)}, {difference.other:.4g} of version {version} on the same rows{note} "
        f"(better by {difference.low:.3g} to {difference.high:.3g}, 95 % interval)"
    )
    if difference.better:
        return "better", comparison
    if difference.worse:
        return "worse", f"it is worse: {comparison}"
    if champion.ahead:
        return "as good", f"{comparison}: not told apart, and at least as good"
    return (
        "not better",
        f"it is not told apart from version {version}, and not as good: {comparison}",
    )


def _value(difference: Difference) -> str:
    return f"{difference.metric} {difference.candidate:.4g} on {difference.rows:,} test rows"
