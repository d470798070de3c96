"""Samplers by name or by the user's class, seeded, with what each needs checked beforehand."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from rayml.config.components.build import build, taken
from rayml.errors import ConfigError, SpaceError
from rayml.search.problem.prior_trials import PriorTrials
from rayml.search.sampling.cmaes_sampler import PlainCmaEsSampler
from rayml.search.sampling.delegating import DelegatingSampler
from rayml.search.sampling.draws_by_number import draws_by_number
from rayml.search.sampling.history_sampler import HistorySampler
from rayml.search.sampling.tpe import BoundedTPESampler
from rayml.search.space.parameter import Params, Scalar, identity
from rayml.search.space.space import Space
from rayml.settings.search import SamplerSettings

_CLASSES: dict[str, type[BaseSampler]] = {
    "tpe": BoundedTPESampler,
    "optuna_tpe": optuna.samplers.TPESampler,
    "random": RandomSampler,
    # The grid itself is enumerated by `grid_points`; no value is left to a sampler.
    "grid": RandomSampler,
    "qmc": optuna.samplers.QMCSampler,
    "cmaes": PlainCmaEsSampler,
    "gp": optuna.samplers.GPSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
}
_PACKAGES = {"cmaes": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}
_OWN = {"seed", "startup_trials"}
# Optuna keeps the place in a sequence with the study, and the sequence is one by its seed.
_SEQUENCES = {"qmc"}
_GRID_LIMIT = 100_000


def check_sampler(settings: SamplerSettings, space: Space, config: Mapping[str, Any]) -> None:
    """Check that a sampler can be built and can search the space.

    Raises:
        BuildError: the user's class does not import, or does not take its arguments.
        ConfigError: an option that its class does not have or take, a package that is not
            installed, or a class of the user's that is no sampler.
        SpaceError: a grid over a range without steps, or of too many points.
    """
    if settings.target is not None:
        build_sampler(settings, seed=0)
        return
    for package in _PACKAGES.get(settings.name, ()):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the sampler {settings.name} needs the package {package}",
                remedy=f"Run `pip install {package}`, or choose another search.sampler.name",
            )
    known = inspect.signature(_CLASSES[settings.name]).parameters
    free = [option for option in known if option not in _OWN]
    for option in settings.options:
        if option not in free:
            raise ConfigError(
                f"the sampler {settings.name} has no option {option!r}",
                remedy=f"Its search.sampler.options are {', '.join(free)}; the seed is the"
                " config's",
            )
    try:
        build_sampler(settings, seed=0)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the sampler {settings.name} refuses its search.sampler.options ({error})",
            found=dict(settings.options),
            remedy="See the class of that sampler in Optuna's documentation",
        ) from error
    if settings.name == "grid":
        _check_grid(space, config)


def build_sampler(
    settings: SamplerSettings, seed: int, *, history: PriorTrials | None = None, asked: int = 0
) -> BaseSampler:
    """Build a sampler, seeded.

    `startup_trials` random trials come first, where a sampler has a model to learn: exactly so
    many for both TPE, by their number; GP and CMA-ES count the completed ones, as Optuna does.
    The trials of a history stand in for them. Our own TPE knows its study alone, so the name
    `tpe` means Optuna's where there is a history.

    A sampler that goes on after some trials gets another seed, so that it does not propose them
    again, unless its class says that it needs none, see `DrawsByNumber`.

    Args:
        settings: its name and numbers.
        seed: of its draws.
        history: trials that it sees besides those of its study.
        asked: trials of its study so far.

    Raises:
        BuildError: the user's class does not import, or does not take its arguments.
        ConfigError: options of `tpe` where there is a history; or the user's class is no sampler.
    """
    history = history or PriorTrials()
    settings = _for_history(settings) if history.matters else settings
    settings = replace(
        settings, startup_trials=max(settings.startup_trials - len(history.trials), 0)
    )
    make = _users_sampler if settings.target is not None else _named_sampler
    sampler = make(settings, seed)
    if asked and settings.kind not in _SEQUENCES and not draws_by_number(sampler):
        later = np.random.SeedSequence([seed % 2**32, asked]).generate_state(1)[0]
        sampler = make(settings, int(later))
    return HistorySampler(sampler, history) if history.matters else sampler


def _users_sampler(settings: SamplerSettings, seed: int) -> BaseSampler:
    assert settings.target is not None
    given = {"seed": seed, "startup_trials": settings.startup_trials}
    sampler = build(taken(settings.target, settings.arguments, given))
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(
            f"{settings.target} makes no optuna.samplers.BaseSampler",
            found=type(sampler).__name__,
            remedy="Name a subclass of it by search.sampler._target_",
        )
    return sampler


def _named_sampler(settings: SamplerSettings, seed: int) -> BaseSampler:
    given: dict[str, Any] = {"seed": seed}
    if settings.name == "tpe":
        given["startup_trials"] = settings.startup_trials
    elif settings.name == "optuna_tpe":
        given["n_startup_trials"] = 0
    elif settings.name in {"gp", "cmaes"}:
        given["n_startup_trials"] = max(settings.startup_trials, 1)
        given["warn_independent_sampling"] = False
    elif settings.name == "qmc":
        # Unscrambled sequences ignore the seed.
        given |= {"scramble": True, "warn_independent_sampling": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = _CLASSES[settings.name](**(given | dict(settings.options)))
    if settings.name == "optuna_tpe":
        sampler = RandomFirst(settings.startup_trials, RandomSampler(seed=seed), sampler)
    return sampler


def _for_history(settings: SamplerSettings) -> SamplerSettings:
    if settings.kind != "tpe":
        return settings
    if settings.options:
        raise ConfigError(
            "search.sampler.name=tpe has no options where a sweep has a warm start or its space"
            " has changed, since Optuna's TPE then takes its place",
            found=dict(settings.options),
            remedy="Set search.sampler.name=optuna_tpe with options of its own, or empty"
            " search.sampler.options",
        )
    return replace(settings, name="optuna_tpe")


def grid_points(space: Space, config: Mapping[str, Any], seed: int) -> list[dict[str, Scalar]]:
    """Every point of the grid in a random order, so that a budget may end anywhere in it."""
    points = list(space.grid(config))
    random.Random(seed).shuffle(points)  # noqa: S311 - an order, not a secret
    return points


def points_left(
    points: Sequence[dict[str, Scalar]], asked: Iterable[Params]
) -> list[dict[str, Scalar]]:
    """The points of a grid that no trial was asked with."""
    known = {identity(params) for params in asked}
    return [point for point in points if identity(point) not in known]


class RandomFirst(DelegatingSampler):
    """Draws the first trials at random and leaves the others to a model.

    Optuna's TPE counts finished trials instead, so the more trials run at once, the more are
    random, and failed ones prolong it.

    Args:
        count: trials numbered below are random.
        first: their sampler.
        model: the sampler of all others.
    """

    def __init__(self, count: int, first: BaseSampler, model: BaseSampler) -> None:
        self._count = count
        self._first = first
        self._model = model

    def delegate(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, optuna.Study]:
        """See `DelegatingSampler`."""
        return self._first if trial.number < self._count else self._model, study


def _check_grid(space: Space, config: Mapping[str, Any]) -> None:
    for parameter in space.parameters:
        if parameter.values() is None:
            raise SpaceError(
                f"space.{parameter.key} has infinitely many values, which no grid can try",
                found=dict(parameter.leaf),
                remedy="Give it choices or a step, or choose another search.sampler.name",
            )
    if sum(1 for _ in itertools.islice(space.grid(config), _GRID_LIMIT + 1)) > _GRID_LIMIT:
        raise SpaceError(
            f"the grid over {', '.join(space.keys)} has more than {_GRID_LIMIT} points",
            remedy="Give these keys fewer values, or choose another search.sampler.name",
        )
