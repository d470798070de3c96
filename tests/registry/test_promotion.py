"""The promotion policy as a table of cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.registry.promotion import (
    Champion,
    Constant,
    Difference,
    PromotionDecision,
    Verdict,
    decide,
    without_comparison,
)


def difference(low: float, high: float, metric: str = "accuracy") -> Difference:
    return Difference(metric, 0.9, 0.9 - (low + high) / 2, low, high, rows=200)


BEATEN = Constant([difference(0.1, 0.3)], ahead=True)


def champion(low: float, high: float) -> Champion:
    return Champion(4, difference(low, high), ahead=low + high >= 0)


@pytest.mark.parametrize(
    ("beside", "promote", "verdict"),
    [
        (champion(0.01, 0.1), True, "better"),
        (champion(-0.1, -0.01), False, "worse"),
        (champion(-0.01, 0.03), True, "as good"),
        (champion(0.0, 0.0), True, "as good"),
        (champion(-0.03, 0.01), False, "not better"),
        (Champion(4, "it reads columns that these data lack: zip"), False, "not comparable"),
        (None, True, "first"),
    ],
)
def test_a_candidate_beside_the_champion(
    beside: Champion | None, promote: bool, verdict: Verdict
) -> None:
    decision = decide(BEATEN, beside)
    assert (decision.promote, decision.verdict) == (promote, verdict)
    assert decision.against == (None if beside is None else 4)
    forced = decide(BEATEN, beside, force=True)
    assert forced.promote
    assert forced.verdict == verdict
    assert ("registry.force=true" in forced.reason) is not promote


@pytest.mark.parametrize(
    ("constant", "promote"),
    [
        (Constant([difference(0.1, 0.2)], ahead=True), True),
        # The labels are hardly better, but the probabilities surely are.
        (Constant([difference(-0.01, 0.02), difference(0.1, 0.2, "log_loss")], ahead=True), True),
        (Constant([difference(-0.01, 0.02), difference(-0.1, 0.2, "log_loss")], ahead=True), False),
        # An F1 of zero is not worth more for good probabilities.
        (Constant([difference(0.0, 0.0), difference(0.1, 0.2, "log_loss")], ahead=False), False),
        (Constant([difference(-0.3, -0.2)], ahead=False), False),
        (Constant("auroc is undefined on the 60 test rows"), False),
    ],
)
@pytest.mark.parametrize("beside", [None, champion(0.1, 0.2)])
def test_what_does_not_beat_a_constant_is_promoted_by_force_alone(
    constant: Constant, promote: bool, beside: Champion | None
) -> None:
    decision = decide(constant, beside)
    assert decision.promote is promote
    assert (decision.verdict == "no better than a constant") is not promote
    assert decide(constant, beside, force=True).promote


def test_the_reason_tells_figures_in_plain_words() -> None:
    better = decide(BEATEN, champion(0.01, 0.1))
    assert better.reason == (
        "accuracy 0.9 on 200 test rows, 0.845 of version 4 on the same rows "
        "(better by 0.01 to 0.1, 95 % interval)"
    )
    assert better.figures["champion"]["rows"] == 200
    told = decide(BEATEN, Champion(4, difference(-0.1, -0.01), note="it was trained on other data"))
    assert told.reason.startswith("it is worse: accuracy 0.9 on 200 test rows, 0.955 of version 4")
    assert "; it was trained on other data (" in told.reason


def test_other_policies_compare_nothing() -> None:
    assert without_comparison("always") == PromotionDecision(
        promote=True, reason="without comparison (registry.promote=always)"
    )
    assert not without_comparison("never").promote


intervals = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(intervals)
def test_two_versions_never_surely_beat_each_other(interval: list[float]) -> None:
    low, high = interval
    one = decide(BEATEN, champion(low, high))
    other = decide(BEATEN, champion(-high, -low))
    assert not (one.verdict == "better" and other.verdict in ("better", "as good", "not better"))
    if one.promote and other.promote:
        assert one.verdict == other.verdict == "as good"
