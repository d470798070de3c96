"""The contract of samplers: those by name keep it, and one that breaks a part fails that check."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler

from rayml.search.sampling.samplers import build_sampler
from rayml.settings.search import SamplerSettings
from rayml.testing.contract import check_contract
from rayml.testing.samplers import SamplerTests


def contract_of(make: Any) -> SamplerTests:
    class Tests(SamplerTests):
        def make(self, seed: int) -> BaseSampler:
            return make(seed)

    return Tests()


@pytest.mark.parametrize("name", ["tpe", "optuna_tpe", "random", "qmc", "cmaes", "nsga2"])
def test_those_by_name_keep_it(name: Any) -> None:
    def make(seed: int) -> BaseSampler:
        return build_sampler(SamplerSettings(name=name, startup_trials=4), seed)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        check_contract(contract_of(make))


class Outside(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        found = super().sample_independent(study, trial, name, distribution)
        if isinstance(distribution, CategoricalDistribution):
            return found
        return distribution.high + 1


class Unseeded(RandomSampler):
    def __init__(self, seed: int) -> None:
        super().__init__()


class Stuck(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[0]
        return distribution.low


class OwnCount(RandomSampler):
    """Goes through a list whose place it keeps for the whole process."""

    place = 0

    def sample_independent(self, study, trial, name, distribution):
        OwnCount.place += 1
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[OwnCount.place % len(distribution.choices)]
        return distribution.low if OwnCount.place % 3 else distribution.high


class OneByOne(RandomSampler):
    """Cannot propose while another trial runs, but something outside."""

    def sample_independent(self, study, trial, name, distribution):
        running = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
        if len(running) == 4 and not isinstance(distribution, CategoricalDistribution):
            return distribution.high * 2
        return super().sample_independent(study, trial, name, distribution)


BROKEN = {
    "test_proposals_lie_within_the_space": (Outside, "it proposes lr=1.1"),
    "test_proposals_follow_from_the_seed": (Unseeded, "otherwise the second time"),
    "test_proposals_vary": (lambda seed: Stuck(), "again and again"),
    "test_a_resumed_study_goes_on": (lambda seed: OwnCount(), "it keeps state of its own"),
    "test_trials_that_run_at_once_may_end_in_any_order": (OneByOne, "after trials at once"),
}


@pytest.mark.parametrize("check", BROKEN)
def test_what_breaks_the_contract_fails_its_check(check: str) -> None:
    make, words = BROKEN[check]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((AssertionError, ValueError), match=words):
            getattr(contract_of(make), check)()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == {name for name in dir(SamplerTests) if name.startswith("test_")}
