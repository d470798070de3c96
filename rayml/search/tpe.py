"""The tree-structured Parzen estimator, at a cost that does not grow with the trials."""

from __future__ import annotations

import math
import secrets
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from rayml.search.axis import axis_of
from rayml.search.observations import Rank
from rayml.search.tpe_model import TreeParzenModel

_CONSTRAINTS = "constraints"
_FIXED = "fixed_params"


class BoundedTPESampler(BaseSampler):
    """Proposes points that are likely under the good trials and unlikely under the others.

    As in Optuna's multivariate TPE, the best trials make one density and the others make another;
    of some points drawn from the first the one with the largest ratio is proposed. What differs:

    - The best are a quarter of the trials rather than a tenth, 25 at most, and kernels are no
      narrower than Scott's rule would have them: it stays less long near an early success.
    - The second density is made of the latest of the other trials and an even sample of the
      earlier ones, so that a proposal costs the same after 10,000 trials as after some hundred.
    - Values that are fixed beforehand (`enqueue_trial`) weigh the trials: those that had similar
      ones count more when the others are chosen. Likewise a parameter that only some trials
      have is chosen given the values that the trial has already.
    - The first trials, by number, are a Latin hypercube, however many run at once.
    - A proposal draws from the seed and the trial's number alone, so that a resumed study does
      not propose anew what it had proposed.

    Running trials count among the others, so that trials that are asked at once are spread.
    Pruned trials rank behind complete ones, by their last step and their value there;
    infeasible trials (`Trial.set_constraint`) rank behind both, by their violation. Studies of
    several objectives are left to Optuna's own TPE, whose cost grows with the trials.

    Calls must come one at a time. One sampler serves one study.

    Args:
        seed: of all draws; None takes one from the system.
        startup_trials: trials, by number, that are not left to the model.
        candidates: points drawn for a proposal.
        share: of the trials that are good.
        good: trials in the first density at most.
        others: finished trials in the second density at most.
        width: of a kernel at least, as a share of the range, were there but one trial.
        trust: how much fixed values weigh, from 0 (not at all) to 1.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        startup_trials: int = 10,
        candidates: int = 24,
        share: float = 0.25,
        good: int = 25,
        others: int = 256,
        width: float = 0.2,
        trust: float = 0.5,
    ) -> None:
        _check(candidates >= 1 and good >= 1 and others >= 1, "counts are at least 1")
        _check(0 < share <= 1, "share lies above 0 and at most at 1")
        _check(0 <= width <= 1 and 0 <= trust <= 1, "width and trust lie between 0 and 1")
        # Seeds of numpy are not negative.
        self._seed = secrets.randbits(64) if seed is None else seed % 2**64
        self._startup = startup_trials
        self._several = TPESampler(seed=self._seed % 2**32, n_startup_trials=startup_trials)
        self._model = TreeParzenModel(
            candidates=candidates,
            share=share,
            good=good,
            others=others,
            width=width,
            trust=trust,
        )
        self._elsewhere: set[int] = set()
        self._next = 0

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Parameters that every trial has: they are chosen together."""
        if len(study.directions) > 1:
            return self._several.infer_relative_search_space(study, trial)
        if trial.number < self._startup:
            return {}
        found = self._model.everywhere()
        return {name: each for name, each in found.items() if not each.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        if len(study.directions) > 1:
            return self._several.sample_relative(study, trial, search_space)
        known = _known(trial)
        free = sorted(name for name in search_space if name not in known)
        if not free:
            return {}
        known = {name: value for name, value in known.items() if name in search_space}
        chosen = self._model.propose(trial.number, free, known, self._rng(trial.number, ""))
        self._model.runs(trial.number, chosen, search_space)
        return chosen

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter of a start-up trial, or one that only some trials have."""
        if len(study.directions) > 1:
            return self._several.sample_independent(study, trial, param_name, param_distribution)
        axis = axis_of(param_distribution)
        value = axis.spread(self._place(param_name, trial.number))
        if trial.number >= self._startup and self._model.knows(param_name):
            rng = self._rng(trial.number, param_name)
            found = self._model.propose_one(trial.number, param_name, _known(trial), rng)
            # A range that was changed since may not hold it.
            value = value if math.isnan(axis.encode(found)) else found
        self._model.runs(trial.number, {param_name: value}, {param_name: param_distribution})
        return value

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Learn of trials that came into the study elsewhere, and that this one runs."""
        if len(study.directions) > 1:
            self._several.before_trial(study, trial)
            return
        number = trial.number
        if number > self._next or self._elsewhere - {number}:
            trials = study.get_trials(deepcopy=False)
            for other in sorted(self._elsewhere | set(range(self._next, number))):
                self._meet(study, trials[other])
        self._next = max(self._next, number + 1)
        self._elsewhere.discard(number)
        known = _known(trial)
        self._model.runs(number, known, self._model.ranges(known) | trial.distributions)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Learn from a finished trial."""
        if len(study.directions) > 1:
            self._several.after_trial(study, trial, state, values)
            return
        self._model.stops(trial.number)
        self._learn(study, trial, state, values)

    def _meet(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._model.stops(trial.number)
        if trial.state.is_finished():
            self._elsewhere.discard(trial.number)
            self._learn(study, trial, trial.state, trial.values)
            return
        self._elsewhere.add(trial.number)
        if trial.state == TrialState.RUNNING:
            self._model.runs(trial.number, trial.params, trial.distributions)

    def _learn(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        if state not in {TrialState.COMPLETE, TrialState.PRUNED}:
            return
        sign = -1.0 if study.directions[0] == StudyDirection.MAXIMIZE else 1.0
        rank = _rank(trial, values, state, sign)
        self._model.learn(rank, trial.params, trial.distributions)

    def _place(self, name: str, number: int) -> float:
        """Where a start-up trial lies on an axis: a Latin hypercube, and another after each."""
        count = max(self._startup, 1)
        rng = self._rng(number // count, f"start {name}")
        return float((rng.permutation(count) + rng.random(count))[number % count] / count)

    def _rng(self, number: int, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, number, zlib.crc32(name.encode())])


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _known(trial: FrozenTrial) -> dict[str, Any]:
    """Values that a trial has already, or will have."""
    return {**trial.system_attrs.get(_FIXED, {}), **trial.params}


def _rank(
    trial: FrozenTrial, values: Sequence[float] | None, state: TrialState, sign: float
) -> Rank:
    violation = _violation(trial.system_attrs)
    if violation > 0:
        return (2.0, violation, 0.0)
    if state == TrialState.COMPLETE and values:
        return (0.0, 0.0, sign * values[0])
    if not trial.intermediate_values:
        return (1.0, 1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (1.0, -float(step), math.inf if math.isnan(value) else sign * value)


def _violation(attributes: Mapping[str, Any]) -> float:
    """By how much a trial's constraints are exceeded, added up."""
    found = list(attributes.get(_CONSTRAINTS) or ())
    found += [each for key, each in attributes.items() if key.startswith(f"{_CONSTRAINTS}:")]
    return sum(max(float(each), 0.0) for each in found)
