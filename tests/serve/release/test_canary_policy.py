"""Guards end what is worse, let pass what is as good, and are not fooled by small numbers."""

from __future__ import annotations

import random

import pytest

from rayml.serve.observe.request_counts import RequestCounts
from rayml.serve.release.canary_policy import LEVEL, CanaryDecision, exceeds, judge, stability_index
from rayml.serve.release.counters import Counts, VersionCounter, total
from rayml.settings.release import GuardSettings
from rayml.types import TargetInfo
from tests.serve.records import record

GUARDS = GuardSettings(window_s=60, min_requests=100)
TARGET = TargetInfo(name="y", task="binary", classes=("no", "yes"))


def counts(requests: int, failed: int = 0, seconds: float = 0.01, **more: object) -> Counts:
    counts = RequestCounts("r1")
    for number in range(requests):
        status = 500 if number < failed else 200
        counts.observe(record(status=status, started=0.0, ended=seconds))
    found = VersionCounter(TARGET).read(counts.totals("3", lambda _: True))
    return Counts(**{**found.__dict__, **more})  # type: ignore[arg-type]


def decision(
    canary: Counts, champion: Counts, elapsed_s: float = 30, **more: object
) -> CanaryDecision:
    guards = GuardSettings(**{**GUARDS.__dict__, **more})  # type: ignore[arg-type]
    return judge(canary, champion, elapsed_s=elapsed_s, guards=guards)


def test_a_canary_that_errs_is_rolled_back_before_many_met_it() -> None:
    found = decision(counts(12, failed=12), counts(1000))
    assert found.outcome == "roll back"
    assert "12 of its 12 requests failed, of the champion's 0 of 1000" in found.reason
    assert found.figures["canary_failed"] == 12


@pytest.mark.parametrize(("requests", "failed"), [(1, 1), (50, 1), (1000, 8), (0, 0)])
def test_a_few_errors_decide_nothing(requests: int, failed: int) -> None:
    assert decision(counts(requests, failed), counts(10_000, 20)).outcome == "go on"


def test_errors_that_the_champion_has_too_are_no_fault() -> None:
    assert decision(counts(300, 90), counts(6000, 1800)).outcome == "go on"


def test_rows_that_only_the_canary_refuses_count() -> None:
    assert decision(counts(100, refused=60), counts(1000)).outcome == "roll back"


def test_a_slow_canary_is_rolled_back_and_a_little_slower_one_is_not() -> None:
    champion = counts(2000, seconds=0.02)
    assert "p99" in decision(counts(300, seconds=0.2), champion).reason
    assert decision(counts(300, seconds=0.022), champion).outcome == "go on"
    assert decision(counts(300, seconds=0.2), champion, p99_ratio=None).outcome == "go on"
    assert decision(counts(50, seconds=0.2), champion).outcome == "go on"


def test_predictions_that_are_distributed_otherwise_are_told() -> None:
    one = (50, 100, 200, 100, 50)
    other = (5, 20, 75, 200, 200)
    assert stability_index(one, one) == (0.0, False)
    index, certain = stability_index(one, other)
    assert index > 0.25
    assert certain
    found = decision(counts(500, predictions=other), counts(500, predictions=one))
    assert found.outcome == "roll back"
    assert "stability index" in found.reason


def test_chance_is_seldom_a_shift() -> None:
    shifts = sum(map(_shifted_by_chance, range(500)))
    assert shifts <= 500 * 10 * LEVEL


def _shifted_by_chance(seed: int) -> bool:
    draw = random.Random(seed)
    one, other = [0] * 20, [0] * 20
    for _ in range(200):
        one[draw.randrange(20)] += 1
    for _ in range(5000):
        other[draw.randrange(20)] += 1
    index, certain = stability_index(tuple(one), tuple(other))
    return index > 0.25 and certain


def test_a_metric_that_is_worse_on_the_same_rows_is_told() -> None:
    worse = counts(500, paired=400, excess=80.0, excess_squared=120.0)
    found = decision(worse, counts(500))
    assert found.outcome == "roll back"
    assert "400 labelled rows" in found.reason
    unsure = counts(500, paired=400, excess=8.0, excess_squared=120.0)
    assert decision(unsure, counts(500)).outcome == "go on"
    few = counts(500, paired=40, excess=40.0, excess_squared=40.0)
    assert decision(few, counts(500)).outcome == "go on"


def test_a_window_that_passed_promotes_once_there_is_evidence() -> None:
    champion = counts(2000)
    assert decision(counts(200), champion, 59).outcome == "go on"
    passed = decision(counts(200), champion, 61)
    assert passed.outcome == "promote"
    assert "200 requests" in passed.reason
    assert decision(counts(99), champion, 6100).outcome == "go on"
    assert decision(counts(200), champion, 61, then="keep").outcome == "go on"


def test_a_canary_that_a_replica_cannot_load_ends() -> None:
    found = judge(counts(0), counts(10), elapsed_s=1, guards=GUARDS, refusal="weights.safetensors")
    assert (found.outcome, "weights.safetensors" in found.reason) == ("roll back", True)


def test_looking_often_does_not_find_what_is_not_there() -> None:
    """Of 200 canaries exactly at the allowed share, looked at 300 times each, hardly one falls."""
    draw = random.Random(7)
    fallen = 0
    for _ in range(200):
        events = 0
        for trials in range(1, 301):
            events += draw.random() < 0.05
            if exceeds(events, trials, 0.05):
                fallen += 1
                break
    assert fallen <= 200 * LEVEL + 3


def test_counters_add_up_over_replicas() -> None:
    one, other = counts(10, failed=3), counts(5, seconds=3.0)
    both = total([one, other])
    assert (both.requests, both.failed, sum(both.latency)) == (15, 3, 15)
    assert both.slower_than(1.0) == 5
    assert both.quantile(0.5) == pytest.approx(0.01, rel=0.16)
    assert both.quantile(0.99) == pytest.approx(3.0, rel=0.16)
    assert total([]) == Counts()
    assert Counts().quantile(0.99) is None
