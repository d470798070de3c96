"""A sampler that sees the trials of other sweeps beside those of its study."""

from __future__ import annotations

import copy
from collections.abc import Container

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from rayml.search.problem.prior_trials import PriorTrials, Ranks
from rayml.search.sampling.delegating import DelegatingSampler


class HistorySampler(DelegatingSampler):
    """Shows another sampler the study with the trials of a history in it.

    The study itself stays as it is: what the history adds is never one of its trials.

    Args:
        sampler: the one that proposes.
        history: trials of other sweeps, and how trials of an earlier space look.
    """

    def __init__(self, sampler: BaseSampler, history: PriorTrials) -> None:
        self._sampler = sampler
        self._sight = _Sight(history)

    def delegate(
        self, study: optuna.Study, _trial: FrozenTrial
    ) -> tuple[BaseSampler, optuna.Study]:
        """See `DelegatingSampler`."""
        return self._sampler, _View(study, self._sight)


class _Sight:
    """Turns the trials of a study into those that its sampler sees; remembers what it can."""

    def __init__(self, history: PriorTrials) -> None:
        self._history = history
        self._own: dict[int, FrozenTrial | None] = {}
        # Of the study's own trials: by the steps at which foreign ones were stopped, and under
        # None of the completed ones.
        self._values: dict[int | None, Ranks] = {_step(trial): Ranks() for trial in history.trials}
        self._foreign: list[FrozenTrial] = list(history.trials)
        self._given: list[FrozenTrial] | None = None
        self._seen: list[FrozenTrial] = []

    def of(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        # Optuna hands out one list for all parameters of a trial.
        if trials is not self._given:
            known = len(self._own)
            own = [seen for trial in trials if (seen := self._look(trial)) is not None]
            if len(self._own) != known:
                self._foreign = [self._to_scale(trial) for trial in self._history.trials]
            self._given, self._seen = trials, self._foreign + own
        return self._seen

    def _look(self, trial: FrozenTrial) -> FrozenTrial | None:
        if not trial.state.is_finished():
            return trial
        if trial.number not in self._own:
            refit = self._history.refit
            seen = trial if refit is None else refit(trial)
            self._own[trial.number] = seen
            if seen is not None:
                self._learn(seen)
        return self._own[trial.number]

    def _learn(self, trial: FrozenTrial) -> None:
        for step, ranks in self._values.items():
            if step is not None and step in trial.intermediate_values:
                ranks.add(trial.intermediate_values[step])
            elif step is None and trial.state == TrialState.COMPLETE:
                ranks.add(trial.values[0])

    def _to_scale(self, trial: FrozenTrial) -> FrozenTrial:
        """A foreign trial with a value where its rank lies among the study's own ones."""
        scaled = copy.copy(trial)
        step = _step(trial)
        scaled.values = [self._values[step].value(rank) for rank in trial.values]
        if step is not None:
            scaled.intermediate_values = {step: scaled.values[0]}
        return scaled


def _step(trial: FrozenTrial) -> int | None:
    """The step at which a trial was stopped."""
    return trial.last_step if trial.state == TrialState.PRUNED else None


class _View(optuna.Study):
    """A study whose list of trials is another one."""

    _sight: _Sight

    def __init__(self, study: optuna.Study, sight: _Sight) -> None:
        self.__dict__ = {**study.__dict__, "_sight": sight}

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        # The method that Optuna's own filtered view of a study replaces, too.
        trials = self._sight.of(super()._get_trials(deepcopy=False, use_cache=use_cache))
        found = [each for each in trials if states is None or each.state in states]
        return copy.deepcopy(found) if deepcopy else found
