"""What rayml expects of a sampler, as tests for its author.

A class of tests that pytest collects:

    class TestMine(SamplerTests):
        def make(self, seed):
            return Mine(seed=seed)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

_Space = Mapping[str, BaseDistribution]


class SamplerTests:
    """The contract of a sampler; subclass it and give `make`.

    Attributes:
        spaces: that it has to search.
        trials: of a simulated sweep.
    """

    spaces: ClassVar[tuple[_Space, ...]] = (
        {"lr": FloatDistribution(1e-4, 1e-1, log=True), "dropout": FloatDistribution(0.0, 0.5)},
        {"depth": IntDistribution(1, 4), "width": IntDistribution(16, 256, step=16)},
        {
            "name": CategoricalDistribution(["adamw", "sgd"]),
            "layers": CategoricalDistribution([1, 2, 3]),
        },
        {
            "rate": FloatDistribution(0.1, 0.9, step=0.1),
            "units": IntDistribution(1, 1024, log=True),
            "flag": CategoricalDistribution([True, False]),
        },
    )
    trials: ClassVar[int] = 24

    def make(self, seed: int) -> BaseSampler:
        """The sampler under test."""
        raise NotImplementedError

    def test_proposals_lie_within_the_space(self) -> None:
        """Of every kind of parameter, those with steps and logarithms too."""
        for space in self.spaces:
            for params in self._searched(space, self.make(0)):
                for name, distribution in space.items():
                    inside = _contains(distribution, params[name])
                    assert inside, f"it proposes {name}={params[name]!r} for {distribution}"

    def test_proposals_follow_from_the_seed(self) -> None:
        """The same seed searches in the same way."""
        for space in self.spaces:
            one, other = (self._searched(space, self.make(7)) for _ in range(2))
            assert one == other, "with one seed it proposes otherwise the second time"

    def test_proposals_vary(self) -> None:
        """It looks at more than one point."""
        for space in self.spaces:
            found = self._searched(space, self.make(0))
            points = {tuple(sorted(params.items())) for params in found}
            assert len(points) > 1, f"it proposes {found[0]} again and again"

    def test_a_resumed_study_goes_on(self) -> None:
        """A new sampler proposes from what the study knows, whatever became of its trials."""
        for space in self.spaces:
            found = [self._resumed(space) for _ in range(2)]
            assert found[0] == found[1], (
                "two samplers of one seed propose otherwise for the same study: it keeps state of"
                " its own"
            )
            for params in found[0]:
                inside = all(_contains(space[name], value) for name, value in params.items())
                assert inside, f"after a resume it proposes {params}"

    def test_trials_that_run_at_once_may_end_in_any_order(self) -> None:
        """Several trials are asked for before the first has a value."""
        for space in self.spaces:
            study = _study(self.make(0))
            open_ = [study.ask(dict(space)) for _ in range(4)]
            for trial in reversed(open_):
                study.tell(trial, _value(trial.params))
            more = study.ask(dict(space)).params
            inside = all(_contains(space[name], value) for name, value in more.items())
            assert inside, f"after trials at once it proposes {more}"

    def _searched(self, space: _Space, sampler: BaseSampler) -> list[dict[str, Any]]:
        study = _study(sampler)
        for number in range(self.trials):
            _finish(study, study.ask(dict(space)), number)
        return [each.params for each in study.trials]

    def _resumed(self, space: _Space) -> list[dict[str, Any]]:
        """What a new sampler proposes after trials of all outcomes."""
        before = _study(optuna.samplers.RandomSampler(seed=3))
        for number in range(self.trials):
            _finish(before, before.ask(dict(space)), number)
        study = _study(self.make(5))
        study.add_trials(before.trials)
        found = []
        for number in range(4):
            trial = study.ask(dict(space))
            found.append(trial.params)
            _finish(study, trial, number)
        return found


def _study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, direction="minimize")


def _finish(study: optuna.Study, trial: optuna.Trial, number: int) -> None:
    """Let a trial end: most are complete, some pruned, some failed."""
    if number % 5 == 3:
        trial.report(_value(trial.params), 1)
        study.tell(trial, state=TrialState.PRUNED)
    elif number % 7 == 5:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, _value(trial.params))


def _value(params: Mapping[str, Any]) -> float:
    return float(sum(len(each) if isinstance(each, str) else each for each in params.values()))


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return any(value == each and type(value) is type(each) for each in distribution.choices)
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    step = distribution.step  # type: ignore[attr-defined]
    wanted = int if isinstance(distribution, IntDistribution) else float
    places = (value - low) / step if step else 0.0
    return isinstance(value, wanted) and low <= value <= high and abs(places - round(places)) < 1e-6
