"""The Optuna study of a search's goals: several objectives, pruned on the first one."""

from __future__ import annotations

import dataclasses
import sys
import warnings

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from rayml.models.objectives import Objective
from rayml.search.goals import Goals
from rayml.search_settings import BoundSettings
from rayml.types import Direction

# Optuna's samplers and dashboards read a trial's excesses under this name, as a list. Of the
# study it is the bounds by name, in the order of that list.
CONSTRAINTS = "constraints"
METRIC = "metric"


class FirstObjectiveStudy(optuna.Study):
    """Has the first objective's direction as its `direction`.

    Optuna knows no curves of trials of several objectives: `Trial.report` refuses them, and a
    sampler that finds some in a pruned trial, as TPE does, asks the study for its one direction,
    which raises RuntimeError. Here curves are those of the first objective, which prunes, so its
    direction is the one that such a question is about.
    """

    @property
    def direction(self) -> StudyDirection:
        """Of the first objective."""
        return self.directions[0]


def create_study(
    name: str, storage: BaseStorage, goals: Goals, sampler: BaseSampler
) -> FirstObjectiveStudy:
    """Make a study in a storage, with what a reader needs to know of its goals.

    Args:
        name: of the study.
        storage: that holds it.
        goals: what it seeks.
        sampler: who proposes.
    """
    optuna.create_study(study_name=name, storage=storage, directions=list(goals.directions))
    study = FirstObjectiveStudy(name, storage, sampler=sampler)
    study.set_user_attr(METRIC, goals.first.metric)
    if goals.constraints:
        bounds = {name: dataclasses.asdict(bound) for name, bound in goals.constraints.items()}
        study.set_user_attr(CONSTRAINTS, bounds)
    if len(goals.objectives) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([each.metric for each in goals.objectives])
    return study


def read_goals(study: optuna.Study) -> Goals:
    """The inverse: what a study that was made by `create_study` seeks."""
    names = study.metric_names or [study.user_attrs[METRIC]]
    objectives = tuple(map(_objective, names, study.directions))
    bounds = study.user_attrs.get(CONSTRAINTS, {})
    return Goals(objectives, {name: BoundSettings(**bound) for name, bound in bounds.items()})


def set_excesses(storage: BaseStorage, trial_id: int, excesses: dict[str, float]) -> None:
    """Tell samplers and readers how far a trial lies beyond the bounds; it must still run."""
    # JSON has no infinity, which the excess of something undefined is.
    finite = [min(each, sys.float_info.max) for each in excesses.values()]
    storage.set_trial_system_attr(trial_id, CONSTRAINTS, finite)


def _objective(metric: str, direction: StudyDirection) -> Objective:
    chosen: Direction = "minimize" if direction == StudyDirection.MINIMIZE else "maximize"
    return Objective(metric, chosen)
