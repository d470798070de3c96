"""Samplers by name: Optuna's, seeded, with what each needs checked beforehand."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from rayml.errors import ConfigError, SpaceError
from rayml.search.parameter import Scalar
from rayml.search.space import Space
from rayml.types import SamplerSettings

_CLASSES: dict[str, type[BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": RandomSampler,
    # The grid itself is enumerated by `grid_points`; no value is left to a sampler.
    "grid": RandomSampler,
    "qmc": optuna.samplers.QMCSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
}
_PACKAGES = {"cmaes": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}
_GRID_LIMIT = 100_000


def check_sampler(settings: SamplerSettings, space: Space, config: Mapping[str, Any]) -> None:
    """Check that a sampler can be built and can search the space.

    Raises:
        ConfigError: an option that its class does not have or take, or a package that is not
            installed.
        SpaceError: a grid over a range without steps, or of too many points.
    """
    for package in _PACKAGES.get(settings.name, ()):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the sampler {settings.name} needs the package {package}",
                remedy=f"Run `pip install {package}`, or choose another search.sampler.name",
            )
    known = inspect.signature(_CLASSES[settings.name]).parameters
    for option in settings.options:
        if option not in known or option == "seed":
            raise ConfigError(
                f"search.sampler.options of {settings.name} are {', '.join(known)}"
                " (the seed is the config's own)",
                value=option,
                remedy="Remove it, or check its spelling",
            )
    try:
        build_sampler(settings, seed=0)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"search.sampler.options are values that {settings.name} takes ({error})",
            value=dict(settings.options),
            remedy="See the class of that sampler in Optuna's documentation",
        ) from error
    if settings.name == "grid":
        _check_grid(space, config)


def build_sampler(settings: SamplerSettings, seed: int) -> BaseSampler:
    """Build a sampler, seeded.

    `startup_trials` random trials come first, where a sampler has a model to learn: exactly so
    many for TPE, by their number; GP and CMA-ES count the completed ones, as Optuna does.
    """
    given: dict[str, Any] = {"seed": seed}
    if settings.name == "tpe":
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
    if settings.name == "tpe":
        return RandomFirst(settings.startup_trials, RandomSampler(seed=seed), sampler)
    return sampler


def grid_points(space: Space, config: Mapping[str, Any], seed: int) -> list[dict[str, Scalar]]:
    """Every point of the grid in a random order, so that a budget may end anywhere in it."""
    points = list(space.grid(config))
    random.Random(seed).shuffle(points)  # noqa: S311 - an order, not a secret
    return points


class RandomFirst(BaseSampler):
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

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        return self._first if trial.number < self._count else self._model

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """See `BaseSampler`."""
        self._of(trial).before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """See `BaseSampler`."""
        self._of(trial).after_trial(study, trial, state, values)


def _check_grid(space: Space, config: Mapping[str, Any]) -> None:
    for parameter in space.parameters:
        if parameter.values() is None:
            raise SpaceError(
                f"space.{parameter.key}: a grid needs finitely many values",
                value=dict(parameter.leaf),
                remedy="Give it choices or a step, or choose another search.sampler.name",
            )
    if sum(1 for _ in itertools.islice(space.grid(config), _GRID_LIMIT + 1)) > _GRID_LIMIT:
        raise SpaceError(
            f"a grid has at most {_GRID_LIMIT} points",
            value=list(space.keys),
            remedy="Give its keys fewer values, or choose another search.sampler.name",
        )
