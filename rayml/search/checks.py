"""What can be checked of a search before anything is spent, each with its config key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rayml.errors import ConfigError
from rayml.search.cohort.population import check_population
from rayml.search.problem.budget import check_cost
from rayml.search.problem.goals import Goals, check_goals_of_sampler, choose_goals
from rayml.search.pruning.pruning import build_pruner
from rayml.search.sampling.samplers import check_sampler
from rayml.search.space.space import Space
from rayml.search.space.suggestions import check_suggestions
from rayml.search.tracking.tracker import check_tracking
from rayml.settings.search import SearchSettings
from rayml.tasks.objectives import TRAIN_SECONDS
from rayml.train.build import known_metrics, objective
from rayml.types import TaskName

Check = tuple[str, Callable[[], object]]


def search_checks(
    search: SearchSettings, space: Space, trial: Mapping[str, Any]
) -> Iterator[Check]:
    """The checks of settings that need no code of the user's, each with the key of its section.

    Each check raises a ConfigError where something is wrong.

    Args:
        search: the settings.
        space: that fits the trial, see `check_fit`.
        trial: plain config of a trial.
    """
    if search.sampler.target is None:
        yield "search.sampler", lambda: check_sampler(search.sampler, space, trial)
    yield "search", lambda: check_goals_of_sampler(search)
    yield "search", lambda: check_cost(search)
    yield "search", lambda: check_deterministic(search)
    yield "search", lambda: check_population(search, trial["train"], space.keys)
    yield "search.warm_start", lambda: _check_warm_start(search)
    yield "search", lambda: check_suggestions(search.suggestions, space, trial)
    yield "search.tracking", lambda: check_tracking(search.tracking)


def component_checks(
    search: SearchSettings, space: Space, trial: Mapping[str, Any]
) -> Iterator[Check]:
    """The checks that build the user's sampler and pruner."""
    if search.sampler.target is not None:
        yield "search.sampler", lambda: check_sampler(search.sampler, space, trial)
    if search.pruner.target is not None:
        yield "search.pruner", lambda: build_pruner(search.pruner, max_epochs=1)


def goals_of(section: Mapping[str, Any], task: TaskName, search: SearchSettings) -> Goals:
    """What a search seeks.

    Args:
        section: the config's section `task`.
        task: of the data.
        search: its further objectives and constraints.

    Raises:
        ConfigError: the metric, a further objective or a constraint is wrong.
    """
    first, known = objective(section, task), known_metrics(section, task)
    return choose_goals(first, known, search.objectives, search.constraints)


def check_deterministic(search: SearchSettings) -> None:
    """Check that nothing which a deterministic search decides by is a time.

    Raises:
        ConfigError: something is.
    """
    if not search.deterministic:
        return
    times = {
        "search.seconds": search.seconds is not None,
        "search.cost": search.cost is not None,
        f"search.objectives: {TRAIN_SECONDS}": TRAIN_SECONDS
        in (each.metric for each in search.objectives),
        f"search.constraints.{TRAIN_SECONDS}": TRAIN_SECONDS in search.constraints,
    }
    if found := [name for name, given in times.items() if given]:
        raise ConfigError(
            f"search.deterministic is set, and the search depends on times: {', '.join(found)}",
            remedy="Leave these out; search.trials and search.epochs are budgets without times",
        )


def _check_warm_start(search: SearchSettings) -> None:
    if search.warm_start and search.sampler.kind == "grid":
        raise ConfigError(
            "search.warm_start changes nothing, since search.sampler.name=grid tries every point",
            remedy="Leave search.warm_start out, or choose another search.sampler.name",
        )
