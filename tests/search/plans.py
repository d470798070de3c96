"""Plans and calls of a study, in the few words that a test needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rayml.search.problem.goals import Goals
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.problem.trials import Ended, FinishedTrial, Report, State
from rayml.search.pruning.pruning import PruningDecision
from rayml.search.study.study import Study
from rayml.settings.search import PriceSettings, SearchSettings
from rayml.tasks.objectives import Objective

_SEARCH = {each.name for each in dataclasses.fields(SearchSettings)} - {"name"}
_COHORT = {"lanes", "fillings", "compile"}


def study_plan(**given: Any) -> StudyPlan:
    """A plan of a study from flat keywords.

    Args:
        given: fields of the plan and of its settings. `metric`, `direction`, `objectives` and
            `constraints` make its goals; `cost_per_second` is the price of a trial that takes
            one CPU; `max_epochs` is put into the config of a trial.
    """
    first = Objective(given.pop("metric"), given.pop("direction"))
    goals = Goals((first, *given.pop("objectives", ())), given.pop("constraints", {}))
    trial = given.pop("trial")
    if (epochs := given.pop("max_epochs", None)) is not None:
        trial = {**trial, "train": {**trial.get("train", {}), "epochs": epochs}}
    if price := given.pop("cost_per_second", 0):
        given["prices"] = PriceSettings(cpu_hour=3600 * price)
    search = SearchSettings(**{key: given.pop(key) for key in list(given) if key in _SEARCH})
    return StudyPlan(trial=trial, goals=goals, search=search, **given)


def sweep_plan(**given: Any) -> SweepPlan:
    """A plan of a sweep from flat keywords: its own fields, and those of its settings."""
    own = {each.name for each in dataclasses.fields(SweepPlan)} - {"search", "warm_start"}
    plan = SweepPlan(**{key: given.pop(key) for key in list(given) if key in own})
    return changed(plan, **given)


def changed(plan: SweepPlan, **changes: Any) -> SweepPlan:
    """A plan with some fields of its own, or of its settings, replaced."""
    cohort = {key: changes.pop(key) for key in list(changes) if key in _COHORT}
    search = {
        key: changes.pop(key)
        for key in list(changes)
        if key in _SEARCH and not (key == "warm_start" and _paths(changes[key]))
    }
    if cohort.get("lanes", "") is None:
        cohort["lanes"] = "auto"
    if cohort:
        search["cohort"] = replace(plan.search.cohort, **cohort)
    return replace(plan, search=replace(plan.search, **search), **changes)


def _paths(folders: Any) -> bool:
    return any(not isinstance(each, str) for each in folders)


def report(
    study: Study,
    number: int,
    epoch: int,
    value: float,
    metrics: Mapping[str, float],
    *,
    train_seconds: float = 0.0,
    eval_seconds: float = 0.0,
    steps: int = 0,
) -> PruningDecision:
    """Report an epoch of one trial."""
    given = Report(number, epoch, value, metrics, train_seconds, eval_seconds, steps)
    return study.report([given])[0]


def tell(
    study: Study, number: int, state: State, value: float | None = None, reason: str = ""
) -> FinishedTrial:
    """Tell the end of one trial."""
    return study.tell([Ended(number, state, reason, value)])[0]


def begin(study: Study, number: int, epoch: int) -> bool:
    """Begin to train one trial."""
    return study.begin([(number, epoch)])[0]
