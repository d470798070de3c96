"""The history of other sweeps over overlapping spaces, for a sweep that starts from it.

Values of different data are not comparable, ranks are: a trial counts by its rank among the
trials of its own sweep. The best configurations are tried first, and some trials from all ranks
stand in for the random ones that a sampler begins with. More would outvote the sweep's own
trials for long, which costs more than it saves (`tests/bench/LOG.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from rayml.errors import SearchError
from rayml.search.journal.journal import read_study
from rayml.search.journal.optuna_study import METRIC
from rayml.search.problem.prior_trials import PriorTrials, Ranks, is_informative
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.search.space.parameter import Parameter, Params, Scalar
from rayml.search.space.space import Space
from rayml.types import Direction

_SUGGESTIONS = 3
_INFORMING = 10


def read_history(
    folders: Sequence[Path],
    space: Space,
    config: Mapping[str, Any],
    metric: str,
    direction: Direction,
) -> PriorTrials:
    """Read the trials of other sweeps as far as they fit a space.

    A parameter that the other sweep did not search is taken to have had the config's value, or
    a random one of its range where that does not hold it; one that this space does not search
    is left out.

    Args:
        folders: of the sweeps.
        space: of the sweep that starts.
        config: of its trials.
        metric: that it optimises.
        direction: of the metric.

    Raises:
        SearchError: a folder is not that of a sweep, or its sweep optimised something else, or
            has no finished trial that fits the space.
    """
    numbers = count(-1, -1)
    trials: list[FrozenTrial] = []
    best: list[list[Params]] = []
    for folder in folders:
        study = require_comparable(folder, metric, direction)
        adopted, suggested = _adopt(study, space, config, numbers)
        if not adopted:
            raise SearchError(
                f"no finished trial of sweep {folder.name} fits the space, which searches"
                f" {', '.join(space.keys)}",
                remedy=f"Leave {folder.name} out of search.warm_start",
            )
        trials += _spread(adopted, math.ceil(_INFORMING / len(folders)))
        best.append(suggested)
    return PriorTrials(
        tuple(sorted(trials, key=lambda each: each.number)), tuple(_distinct(best))[:_SUGGESTIONS]
    )


def require_comparable(folder: Path, metric: str, direction: Direction | None) -> optuna.Study:
    """The study of a sweep that another one may start from.

    Args:
        folder: of the sweep.
        metric: that the other one optimises.
        direction: of the metric; None where it is not known.

    Raises:
        SearchError: the folder is not that of a sweep, or its sweep optimised something else.
    """
    study = read_study(folder / JOURNAL)
    theirs, their_direction = study.user_attrs.get(METRIC), study.direction.name.lower()
    if theirs != metric or (direction is not None and their_direction != direction):
        raise SearchError(
            f"sweep {folder.name} optimised {theirs} ({their_direction}), and this one"
            f" optimises {metric}" + (f" ({direction})" if direction else ""),
            remedy=f"Leave {folder.name} out of search.warm_start, or set task.metric={theirs}",
        )
    return study


def _adopt(
    study: optuna.Study, space: Space, config: Mapping[str, Any], numbers: Iterator[int]
) -> tuple[list[FrozenTrial], list[Params]]:
    """The trials over the space, and the configurations of the completed ones, the best first."""
    random = np.random.default_rng(0)
    finished = [each for each in study.get_trials(deepcopy=False) if is_informative(each)]
    ranks = _ranks(finished)
    adopted: list[tuple[FrozenTrial, Params]] = []
    for trial in finished:
        drawn: set[str] = set()

        def fill(parameter: Parameter, drawn: set[str] = drawn) -> Scalar:
            drawn.add(parameter.key)
            return _draw(parameter, random)

        params = space.adopt(trial.params, config, fill)
        if params is None or not params.keys() & trial.params.keys():
            continue
        known = {key: value for key, value in params.items() if key not in drawn}
        adopted.append((_foreign(trial, params, space, ranks, next(numbers)), known))
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    adopted.sort(key=lambda each: (each[0].state.name, sign * each[0].values[0]))
    completed = [params for trial, params in adopted if trial.state == TrialState.COMPLETE]
    return [trial for trial, _ in adopted], completed


def _spread(trials: Sequence[FrozenTrial], most: int) -> list[FrozenTrial]:
    """Some trials from the first to the last in order of their rank, the completed ones before."""
    places = np.linspace(0, len(trials) - 1, min(most, len(trials))).round()
    return [trials[int(place)] for place in places]


def _ranks(trials: Sequence[FrozenTrial]) -> dict[int | None, Ranks]:
    """By the step of stopped trials, and under None of the completed ones."""
    ranks: dict[int | None, Ranks] = {
        None: Ranks([each.values[0] for each in trials if each.state == TrialState.COMPLETE])
    }
    for step in {_last(each) for each in trials} - {None}:
        values = [each.intermediate_values.get(step) for each in trials]  # type: ignore[arg-type]
        ranks[step] = Ranks([value for value in values if value is not None])
    return ranks


def _foreign(
    trial: FrozenTrial,
    params: Params,
    space: Space,
    ranks: Mapping[int | None, Ranks],
    number: int,
) -> FrozenTrial:
    step = _last(trial)
    value = trial.values[0] if step is None else trial.intermediate_values[step]
    rank = ranks[step].rank(value)
    foreign = create_trial(
        state=trial.state,
        value=rank,
        params=dict(params),
        distributions=space.distributions(params),
        intermediate_values={} if step is None else {step: rank},
    )
    foreign.number = number
    return foreign


def _last(trial: FrozenTrial) -> int | None:
    """The step at which a trial was stopped."""
    return trial.last_step if trial.state == TrialState.PRUNED else None


def _distinct(best: Sequence[Sequence[Params]]) -> Iterator[Params]:
    """The best of each sweep, then the second ones, and so on, each configuration once."""
    seen: list[Params] = []
    for rank in zip_longest(*best):
        for params in rank:
            if params is not None and params not in seen:
                seen.append(params)
                yield params


def _draw(parameter: Parameter, random: np.random.Generator) -> Scalar:
    found = parameter.distribution
    if isinstance(found, CategoricalDistribution):
        return found.choices[random.integers(len(found.choices))]
    low, high = (np.log([found.low, found.high])) if found.log else (found.low, found.high)
    value = float(random.uniform(low, high))
    value = float(np.exp(value)) if found.log else value
    if found.step is not None and not found.log:
        value = found.low + round((value - found.low) / found.step) * found.step
    value = min(max(value, found.low), found.high)
    return round(value) if isinstance(found, IntDistribution) else value
