"""What a search seeks: its objectives, the first one first, and its constraints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rayml.errors import ConfigError, InvalidConfigError
from rayml.search.problem.feasibility import Quantities, excesses
from rayml.settings.search import BoundSettings, ObjectiveSettings, SearchSettings
from rayml.tasks.objectives import MEASURED, Objective
from rayml.types import Direction

# Samplers that would ignore further objectives, or constraints.
_ONE_OBJECTIVE = ("cmaes",)
_NO_CONSTRAINTS = ("cmaes",)


@dataclass(frozen=True)
class Goals:
    """What a search seeks.

    Attributes:
        objectives: the first one prunes, and chooses the epoch of a trial that counts.
        constraints: bounds by name of a quantity.
    """

    objectives: tuple[Objective, ...]
    constraints: Mapping[str, BoundSettings] = field(default_factory=dict)

    @property
    def first(self) -> Objective:
        """The objective that is `task.metric`."""
        return self.objectives[0]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return tuple(each.direction for each in self.objectives)

    def __str__(self) -> str:
        names = ", ".join(each.metric for each in self.objectives)
        bounds = ", ".join(map(_bounds, self.constraints, self.constraints.values()))
        return f"{names} with {bounds}" if bounds else names


@dataclass(frozen=True, slots=True)
class Outcome:
    """What counts of a trial: its best epoch by the first objective, and all else there.

    Attributes:
        epoch: from 1; None for a trial without one.
        values: of the objectives by name, the first one first; None where undefined.
        excesses: amounts beyond the bounds of the constraints, by name.
    """

    epoch: int | None
    values: Mapping[str, float | None]
    excesses: dict[str, float]

    @property
    def value(self) -> float | None:
        """Of the first objective."""
        return next(iter(self.values.values()))

    @property
    def violation(self) -> float:
        """The sum of all amounts beyond a bound."""
        return sum(max(each, 0.0) for each in self.excesses.values())

    @property
    def undefined(self) -> str:
        """What is not a finite number although it is sought, in words; empty if all are."""
        for name, value in self.values.items():
            if value is None or not math.isfinite(value):
                return f"{name} is {value} at its end"
        for name, excess in self.excesses.items():
            if not math.isfinite(excess):
                return f"the constrained {name} is undefined at its end"
        return ""


def outcome(
    goals: Goals,
    curve: Mapping[int, float],
    metrics: Mapping[int, Quantities],
    value: float | None = None,
) -> Outcome:
    """What counts of a trial.

    Args:
        goals: of the search.
        curve: by epoch the value of the first objective.
        metrics: by epoch all that was measured.
        value: of the first objective, where it is given; None takes the curve's best.
    """
    sign = 1.0 if goals.first.direction == "minimize" else -1.0
    epoch = min(curve, key=lambda step: (sign * curve[step], step), default=None)
    measured: dict[str, float | None] = {}
    if epoch is not None:
        # A count is an int in the metrics, and a float among Optuna's values.
        at_best = metrics.get(epoch, {})
        measured = {k: None if v is None else float(v) for k, v in at_best.items()}
        measured[goals.first.metric] = curve[epoch]
    if value is not None:
        measured[goals.first.metric] = value
    values = {each.metric: measured.get(each.metric) for each in goals.objectives}
    return Outcome(epoch, values, excesses(measured, goals.constraints))


def choose_goals(
    first: Objective,
    metrics: Mapping[str, Direction | None],
    objectives: Sequence[ObjectiveSettings] = (),
    constraints: Mapping[str, BoundSettings] | None = None,
) -> Goals:
    """Find what the settings name.

    Args:
        first: the objective that is `task.metric`.
        metrics: every metric of the task, with its direction if it has one.
        objectives: the further ones.
        constraints: bounds by name of a quantity.

    Raises:
        InvalidConfigError: unknown names, an objective named twice, a direction that is absent
            or against the metric's own; all of them.
    """
    known = {**metrics, **MEASURED}
    chosen = [first]
    problems: list[str] = []
    for place, entry in enumerate(objectives):
        found = [f"search.objectives.{place}: {each}" for each in _wrong(entry, known, chosen)]
        problems += found
        direction = entry.direction or known.get(entry.metric)
        if not found and direction is not None:
            chosen.append(Objective(entry.metric, direction))
    for name in constraints or {}:
        if name not in known:
            problems.append(f"search.constraints.{name}: {_unknown(name, known)}")
    if problems:
        raise InvalidConfigError(problems)
    return Goals(tuple(chosen), dict(constraints or {}))


def check_goals_of_sampler(search: SearchSettings) -> None:
    """Check that a sampler can search for several objectives and under constraints.

    Raises:
        ConfigError: it knows one objective alone, or would ignore the constraints.
    """
    sampler, objectives = search.sampler.kind, 1 + len(search.objectives)
    if objectives > 1 and sampler in _ONE_OBJECTIVE:
        raise ConfigError(
            f"the search has {objectives} objectives, and search.sampler.name={sampler} takes one",
            remedy="Choose tpe, nsga2 or gp, or empty search.objectives",
        )
    if search.constraints and sampler in _NO_CONSTRAINTS:
        raise ConfigError(
            f"search.sampler.name={sampler} does not learn from constraints, and the search has"
            f" {len(search.constraints)}",
            remedy="Choose tpe, nsga2 or gp, or empty search.constraints",
        )


def _bounds(name: str, bound: BoundSettings) -> str:
    low = "" if bound.min is None else f"{bound.min:g} <= "
    high = "" if bound.max is None else f" <= {bound.max:g}"
    return f"{low}{name}{high}"


def _wrong(
    entry: ObjectiveSettings, known: Mapping[str, Direction | None], chosen: Sequence[Objective]
) -> Iterator[str]:
    name = entry.metric
    if name not in known:
        yield _unknown(name, known)
    elif any(name == each.metric for each in chosen):
        yield f"{name!r} is an objective already; `task.metric` is the first one"
    elif known[name] is None and entry.direction is None:
        yield f"{name} has no direction of its own; give minimize or maximize"
    elif known[name] is not None and entry.direction not in (None, known[name]):
        yield f"{name} has a direction of its own, {known[name]}; remove {entry.direction!r}"


def _unknown(name: str, known: Mapping[str, Direction | None]) -> str:
    return f"no metric or measured quantity {name!r}; known are {', '.join(known)}"
