"""Population based training: which lanes of a cohort go on as copies of others, and with what.

Pure functions over plain numbers; `rayml.search.cohort.evolution` acts on what they decide.

Source: Jaderberg et al., Population Based Training of Neural Networks, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from rayml.errors import ConfigError
from rayml.search.space.parameter import Parameter, Params, Scalar
from rayml.settings.search import PopulationSettings, SearchSettings


@dataclass(frozen=True, slots=True)
class Copy:
    """A lane that goes on from the weights of another one, both by number of their trial."""

    loser: int
    winner: int


# How long a trial trains.
_LENGTHS = ("train.epochs", "train.steps")
# When a population begins none of its trials has finished, and by then their values are no longer
# those that were proposed.
_LEARNING = {"tpe", "optuna_tpe", "cmaes", "gp", "nsga2"}


def check_population(
    search: SearchSettings, train: Mapping[str, Any], searched: Collection[str]
) -> None:
    """Check that trials can train as populations.

    Args:
        search: whose population it is; nothing is checked without one.
        train: the section `train` of the trial config.
        searched: keys of the space.

    Raises:
        ConfigError: trials would end before others of their cohort, or have no cohort; or the
            sampler would have nothing to learn from.
    """
    if search.population is None:
        return
    if search.sampler.kind in _LEARNING:
        raise ConfigError(
            f"search.sampler.name={search.sampler.kind} learns from values that"
            " search.population changes",
            remedy="Set search.sampler.name=random, qmc or grid",
        )
    wrong = {
        f"search.pruner.name={search.pruner.kind}": search.pruner.kind != "none",
        "search.cohort.lanes=1": search.cohort.lanes == 1,
        "train.patience": train["patience"] is not None,
        **{f"space.{key}": key in searched for key in ("train.patience", *_LENGTHS)},
    }
    if found := [name for name, given in wrong.items() if given]:
        raise ConfigError(
            "search.population trains all trials of a cohort for the same epochs, which"
            f" {', '.join(found)} {'prevents' if len(found) == 1 else 'prevent'}",
            remedy="Set search.pruner.name=none, train.patience=null and search.cohort.lanes of 2"
            " or more, and search neither train.epochs nor train.steps nor train.patience",
        )


def generator(seed: int, cohort: int, epoch: int) -> np.random.Generator:
    """Random numbers of one decision, so that it is the same when it is made again."""
    return np.random.default_rng([seed % 2**64, cohort, epoch])


def exploit(
    values: Mapping[int, float], settings: PopulationSettings, rng: np.random.Generator
) -> list[Copy]:
    """Truncation selection: each of the worst lanes copies one of the best, drawn at random.

    A quantile holds the whole number of lanes below `quantile` of them, and at least one, so
    that best and worst never meet. A lane that is as good as the one it draws stays as it is.

    Args:
        values: by number of the trial; smaller is better.
        settings: of the population.
        rng: of this decision.

    Returns:
        In the order of the losers' numbers.
    """
    if len(values) < 2:
        return []
    count = max(1, math.floor(settings.quantile * len(values)))
    ranked = sorted(values, key=lambda number: (values[number], number))
    copies = []
    for loser in sorted(ranked[-count:]):
        winner = ranked[int(rng.integers(count))]
        if values[winner] < values[loser]:
            copies.append(Copy(loser, winner))
    return copies


def explore(
    params: Params,
    parameters: Iterable[Parameter],
    settings: PopulationSettings,
    rng: np.random.Generator,
) -> dict[str, Scalar]:
    """Change some searched values: each is drawn anew with a probability, or else perturbed.

    A number is multiplied or divided by the factor `perturb` and kept within its range, on its
    steps. A choice has no neighbours, so it stays unless it is drawn anew.

    Args:
        params: values of a trial.
        parameters: those that may change; ones that the trial does not have are passed over.
        settings: of the population.
        rng: of this decision.
    """
    found = dict(params)
    for parameter in parameters:
        if parameter.key not in found:
            continue
        anew = rng.random() < settings.resample
        factor = settings.perturb if rng.random() < 0.5 else 1 / settings.perturb
        if anew:
            found[parameter.key] = drawn(parameter, rng)
        else:
            found[parameter.key] = perturbed(found[parameter.key], parameter, factor)
    return found


def drawn(parameter: Parameter, rng: np.random.Generator) -> Scalar:
    """A value of a range, uniform in it or in its logarithm."""
    kind = parameter.distribution
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[int(rng.integers(len(kind.choices)))]
    if kind.log:
        low, high = math.log(kind.low), math.log(kind.high)
        return _within(math.exp(rng.uniform(low, high)), kind)
    # Half a step beyond the ends, so that these are as likely as every other value.
    half = (kind.step or 0) / 2
    return _within(rng.uniform(kind.low - half, kind.high + half), kind)


def perturbed(value: Scalar, parameter: Parameter, factor: float) -> Scalar:
    """A number times a factor, kept in its range; a choice stays.

    A number of steps moves by one step at least, where its range has one.
    """
    kind = parameter.distribution
    if isinstance(kind, CategoricalDistribution):
        return value
    assert isinstance(value, int | float)
    moved = _within(value * factor, kind)
    if moved == value and kind.step is not None:
        moved = _within(value + math.copysign(kind.step, factor - 1), kind)
    return moved


def _within(value: float, kind: FloatDistribution | IntDistribution) -> int | float:
    """The nearest value of a range."""
    value = min(max(value, kind.low), kind.high)
    if kind.step is not None:
        # Decimals, as 0.1 + 0.2 would miss the value 0.3.
        low, step = Decimal(str(kind.low)), Decimal(str(kind.step))
        value = float(low + round((Decimal(str(value)) - low) / step) * step)
    return int(value) if isinstance(kind, IntDistribution) else float(value)
