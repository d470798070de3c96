"""The contract of pruners: rayml's own keep it, and one that breaks a part fails that check."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rayml.search.pruning.pruning import (
    KEEP,
    AsyncHalving,
    Hyperband,
    MedianStopping,
    NoPruning,
    Pruner,
    PruningDecision,
)
from rayml.testing.contract import check_contract
from rayml.testing.pruners import PrunerTests


def contract_of(make: Any) -> PrunerTests:
    class Tests(PrunerTests):
        def make(self) -> Pruner:
            return make()

    return Tests()


@pytest.mark.parametrize(
    "make",
    [
        NoPruning,
        lambda: AsyncHalving(1, 3),
        lambda: Hyperband(1, 3, 9),
        lambda: MedianStopping(2, 4),
    ],
)
def test_rayml_s_own_keep_it(make: Any) -> None:
    check_contract(contract_of(make))


class Wordless(AsyncHalving):
    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        return PruningDecision(super().decide(number, step, value).action)


class Chance(NoPruning):
    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        return PruningDecision("prune", "by lot") if random.random() < 0.5 else KEEP


class CountsTwice(NoPruning):
    """Keeps every report, so that one which comes again weighs more."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def seen(self, number: int, step: int, value: float) -> None:
        self.values.append(value)

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        self.values.append(value)
        if len(self.values) % 3 == 0 and value > min(self.values):
            return PruningDecision("prune", "every third")
        return KEEP


class Unkind(NoPruning):
    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        return PruningDecision("prune", "too good to be true") if value < 0 else KEEP


BROKEN = {
    "test_decisions_are_keep_or_prune_with_a_reason": (
        lambda: Wordless(1, 3),
        "a pruned trial has no reason",
    ),
    "test_decisions_follow_from_the_reports": (Chance, "lead to other decisions"),
    "test_a_report_that_comes_again_counts_once": (CountsTwice, "decides otherwise|came twice"),
    "test_a_resumed_sweep_goes_on_as_it_was": (lambda: Forgetful(1, 3), "after a resume"),
    "test_the_best_trial_goes_on": (Unkind, "the best trial is stopped: too good to be true"),
}


class Forgetful(AsyncHalving):
    """Takes nothing in but what it decides."""

    deciding = False

    def seen(self, number: int, step: int, value: float) -> None:
        if self.deciding:
            super().seen(number, step, value)

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        self.deciding = True
        found = super().decide(number, step, value)
        self.deciding = False
        return found


@pytest.mark.parametrize("check", BROKEN)
def test_what_breaks_the_contract_fails_its_check(check: str) -> None:
    make, words = BROKEN[check]
    with pytest.raises(AssertionError, match=words):
        getattr(contract_of(make), check)()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == {name for name in dir(PrunerTests) if name.startswith("test_")}
