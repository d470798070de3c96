"""The Optuna study of a search's goals: several objectives, pruned on the first one."""

from __future__ import annotations

import dataclasses
import sys
import uuid
import warnings
from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from rayml.errors import SearchError
from rayml.search.problem.goals import Goals
from rayml.search.space.parameter import Params
from rayml.settings.search import BoundSettings
from rayml.tasks.objectives import Objective
from rayml.types import Direction

# Attributes of the study.
METRIC = "metric"
IDENTITY = "identity"
SUGGESTIONS = "suggestions"
FIRST_EPOCH = "first_epoch"
# Steps from one evaluation to the next; absent where each follows a pass over the training split.
EVAL_STEPS = "eval_steps"
# Of each searched key, whether the trials of a cohort share its value.
STRUCTURE = "structure"
# Optuna's samplers and dashboards read a trial's excesses under this name, as a list. Of the
# study it is the bounds by name, in the order of that list.
CONSTRAINTS = "constraints"


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
    name: str,
    storage: BaseStorage,
    goals: Goals,
    sampler: BaseSampler | None = None,
    *,
    resume: bool = False,
    suggestions: Sequence[Params] = (),
) -> FirstObjectiveStudy:
    """Make a study in a storage, with what a reader needs to know of its goals.

    Args:
        name: of the study.
        storage: that holds it.
        goals: what it seeks.
        sampler: proposes the trials.
        resume: go on with the study that the storage may hold.
        suggestions: configurations that a new study shall begin with.

    Raises:
        SearchError: the study that is resumed seeks something else.
    """
    directions = list(goals.directions)
    optuna.create_study(
        study_name=name, storage=storage, directions=directions, load_if_exists=resume
    )
    study = FirstObjectiveStudy(name, storage, sampler=sampler)
    if METRIC in study.user_attrs:
        _require_same(read_goals(study), goals)
        return study
    study_id = storage.get_study_id_from_name(name)
    storage.set_study_system_attr(study_id, SUGGESTIONS, [dict(each) for each in suggestions])
    _describe(study, goals)
    return study


def _describe(study: optuna.Study, goals: Goals) -> None:
    if goals.constraints:
        bounds = {name: dataclasses.asdict(bound) for name, bound in goals.constraints.items()}
        study.set_user_attr(CONSTRAINTS, bounds)
    if len(goals.objectives) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([each.metric for each in goals.objectives])
    study.set_user_attr(IDENTITY, uuid.uuid4().hex)
    # The last one, so that a study that has it was described to the end.
    study.set_user_attr(METRIC, goals.first.metric)


def _require_same(found: Goals, wanted: Goals) -> None:
    # Values and violations of the trials that ended are those of the goals they had.
    if found != wanted:
        raise SearchError(
            f"the sweep seeks {found}, and the config {wanted}",
            remedy="Leave task.metric, search.objectives and search.constraints as they were, or"
            " start a sweep under a new search.name",
        )


def read_goals(study: optuna.Study) -> Goals:
    """The inverse: what a study that was made by `create_study` seeks."""
    names = study.metric_names or [study.user_attrs[METRIC]]
    objectives = tuple(map(_objective, names, study.directions))
    bounds = study.user_attrs.get(CONSTRAINTS, {})
    return Goals(objectives, {name: BoundSettings(**bound) for name, bound in bounds.items()})


def set_excesses(storage: BaseStorage, trial_id: int, excesses: dict[str, float]) -> None:
    """Record how far a running trial lies beyond its bounds, for samplers and readers."""
    # JSON has no infinity, which the excess of something undefined is.
    finite = [min(each, sys.float_info.max) for each in excesses.values()]
    storage.set_trial_system_attr(trial_id, CONSTRAINTS, finite)


def _objective(metric: str, direction: StudyDirection) -> Objective:
    chosen: Direction = "minimize" if direction == StudyDirection.MINIMIZE else "maximize"
    return Objective(metric, chosen)
