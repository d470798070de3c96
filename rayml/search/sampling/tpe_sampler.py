"""Has a tree-structured Parzen estimator propose the trials of a study of one objective."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from rayml.search.sampling.axis import axis_of
from rayml.search.sampling.observations import Rank
from rayml.search.sampling.tpe_model import TreeParzenModel

_CONSTRAINTS = "constraints"
_FIXED = "fixed_params"
# Of a draft that is made again, since the one before was not taken.
_ATTEMPT = "attempt"


class TreeParzenSampler(BaseSampler):
    """Feeds a model with a study's trials, and proposes what the model finds.

    What `BoundedTPESampler` says of start-up trials, draws and ranks holds of it.

    Args:
        model: of the trials; it knows none yet.
        seed: of all draws, not negative.
        startup_trials: trials, by number, that are not left to the model.
    """

    def __init__(self, model: TreeParzenModel, *, seed: int, startup_trials: int) -> None:
        self._model = model
        self._seed = seed
        self._startup = startup_trials
        self._elsewhere: set[int] = set()
        self._next = 0

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        """Parameters that every trial has: they are chosen together."""
        if trial.number < self._startup:
            return {}
        found = self._model.everywhere()
        return {name: each for name, each in found.items() if not each.single()}

    def sample_relative(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        known = _known(trial)
        free = sorted(name for name in search_space if name not in known)
        if not free:
            return {}
        known = {name: value for name, value in known.items() if name in search_space}
        again, rng = _attempt(trial) > 0, self._rng(trial, "")
        chosen = self._model.propose(trial.number, free, known, rng, again=again)
        self._model.runs(trial.number, chosen, search_space)
        return chosen

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter of a start-up trial, or one that only some trials have."""
        axis = axis_of(param_distribution)
        value = axis.spread(self._place(param_name, trial))
        if trial.number >= self._startup and self._model.knows(param_name):
            rng = self._rng(trial, param_name)
            found = self._model.propose_one(trial.number, param_name, _known(trial), rng)
            # A range that was changed since may not hold it.
            value = value if math.isnan(axis.encode(found)) else found
        self._model.runs(trial.number, {param_name: value}, {param_name: param_distribution})
        return value

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Learn of trials that came into the study elsewhere, and that this one runs."""
        number = trial.number
        if number > self._next or self._elsewhere - {number}:
            trials = study.get_trials(deepcopy=False)
            for other in sorted(self._elsewhere | set(range(self._next, number))):
                self._meet(study, trials[other])
        self._next = max(self._next, number + 1)
        self._elsewhere.discard(number)
        known = _known(trial)
        self._model.drops(number)
        self._model.runs(number, known, self._model.ranges(known) | trial.distributions)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Learn from a finished trial."""
        self._model.stops(trial.number)
        self._learn(study, trial, state, values)

    def _meet(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._model.drops(trial.number)
        if trial.state.is_finished():
            self._model.runs(trial.number, trial.params, trial.distributions)
            self._model.stops(trial.number)
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

    def _place(self, name: str, trial: FrozenTrial) -> float:
        """Where a start-up trial lies on an axis: a Latin hypercube, and another after each."""
        if _attempt(trial):
            return float(self._rng(trial, f"start {name}").random())
        count = max(self._startup, 1)
        rng = self._seeded(trial.number // count, f"start {name}")
        return float((rng.permutation(count) + rng.random(count))[trial.number % count] / count)

    def _rng(self, trial: FrozenTrial, name: str) -> np.random.Generator:
        attempt = _attempt(trial)
        return self._seeded(trial.number, f"{name} {attempt}" if attempt else name)

    def _seeded(self, number: int, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, number, zlib.crc32(name.encode())])


def _attempt(trial: FrozenTrial) -> int:
    """Drafts of a trial that were not taken."""
    return int(trial.system_attrs.get(_ATTEMPT, 0))


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
