"""Whether what a space searches can matter: conditions that hold, settings that do something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution

from rayml.config.components.build import is_node
from rayml.errors import InvalidConfigError
from rayml.search.space.parameter import Parameter, Scalar, same
from rayml.search.space.space import Space, lookup
from rayml.tasks.table import task_names, task_type
from rayml.train.build import as_scalar, is_estimator
from rayml.train.families import all_models

_OPTIMIZER, _TASK, _NUMERIC = "train.optimizer.name", "task.name", "model.numeric"
# The values of another key with which a setting does anything.
_NEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train.optimizer.beta1": (_OPTIMIZER, ("adamw", "muon")),
    "train.optimizer.beta2": (_OPTIMIZER, ("adamw", "muon")),
    "train.optimizer.momentum": (_OPTIMIZER, ("sgd",)),
    "train.optimizer.muon_lr": (_OPTIMIZER, ("muon",)),
    "model.numeric_width": (_NUMERIC, ("plr", "plr_lite", "piecewise")),
    "model.frequencies": (_NUMERIC, ("plr", "plr_lite")),
    "model.sigma": (_NUMERIC, ("plr", "plr_lite")),
    "model.bins": (_NUMERIC, ("piecewise",)),
}
_SEARCHED = (_OPTIMIZER, _NUMERIC)
_NOTHING = {
    "train.eval_batch_size": "it changes how a trial is evaluated, not its values",
    "train.eval_steps": "trials are compared after as many evaluations, so these must be as far"
    " apart in all",
}

Wanted = tuple[Scalar, ...]


def check_effect(space: Space, config: Mapping[str, Any]) -> None:
    """Refuse conditions that can never hold, and keys whose values change nothing.

    Args:
        space: that fits the config, see `check_fit`.
        config: of a trial.

    Raises:
        InvalidConfigError: all of them, each line naming its key and the reason.
    """
    problems: list[str] = []
    for parameter in space.parameters:
        found = list(_never_searched(parameter, space, config))
        problems += found or _without_effect(parameter, space, config)
    if problems:
        raise InvalidConfigError([f"space.{problem}" for problem in problems])


def _never_searched(parameter: Parameter, space: Space, config: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in parameter.when.items():
        if key in space.keys:
            yield from _unknown_values(parameter, key, wanted, _by_key(space)[key])
        else:
            yield from _fixed_otherwise(parameter, key, wanted, config)
    for key, each in _conditions(parameter, space).items():
        if not _common(each):
            owners = ", ".join(f"{list(wanted)} of {owner}" for owner, wanted in each)
            yield (
                f"{parameter.key}: never searched, as the conditions on {key} exclude one another:"
                f" {owners}"
            )


def _unknown_values(
    parameter: Parameter, key: str, wanted: Wanted, other: Parameter
) -> Iterator[str]:
    for value in wanted:
        if not other.contains(value):
            yield (
                f"{parameter.key}: when.{key} names {value!r}, which {key} never is; it is"
                f" {_range_text(other)}"
            )


def _fixed_otherwise(
    parameter: Parameter, key: str, wanted: Wanted, config: Mapping[str, Any]
) -> Iterator[str]:
    """A condition on a key that is not searched holds always or never.

    The task is the data's own, so that a space may serve several of them: a condition on it may
    fail, if there is a task with which it would not.
    """
    if key == _TASK:
        for value in wanted:
            if value not in (known := task_names()):
                yield f"{parameter.key}: when.{key} names {value!r}; tasks are {', '.join(known)}"
        return
    fixed = as_scalar(lookup(config, key))
    if not any(same(fixed, value) for value in wanted):
        yield (
            f"{parameter.key}: never searched, as when.{key} wants {_one_of(wanted)} and the config"
            f" holds {fixed!r}; search {key}, or remove space.{parameter.key}"
        )


def _without_effect(parameter: Parameter, space: Space, config: Mapping[str, Any]) -> Iterator[str]:
    key = parameter.key
    if key in _NOTHING:
        yield f"{key}: searching it has no effect: {_NOTHING[key]}; remove it"
    if key == "train.epochs" and _counts_steps(space, config):
        yield f"{key}: searching it has no effect, as train.steps counts in its place; remove one"
    other, needed = _needs(key)
    if other == _OPTIMIZER and is_node(lookup(config, "train.optimizer")):
        return  # Its class says what it takes.
    if other == _NUMERIC and not str(lookup(config, "model._target_")).startswith("rayml."):
        return  # The user's own model may mean something else.
    possible = _possible(other, parameter, space, config) if other else None
    if possible and not any(value in needed for value in possible):
        yield (
            f"{key}: searching it has no effect, as {other} is {_one_of(possible)}; remove it"
            + (f", or search {other} with {_one_of(needed)}" if other in _SEARCHED else "")
        )


def _counts_steps(space: Space, config: Mapping[str, Any]) -> bool:
    """Whether steps end all trials: there are no estimators, whose rounds epochs count."""
    steps = "train.steps" in space.keys or lookup(config, "train.steps") is not None
    return steps and not any(map(is_estimator, all_models(config["model"]).values()))


def _needs(key: str) -> tuple[str, tuple[str, ...]]:
    """The other key that a setting depends on, and its values with which it does anything."""
    if key == "train.label_smoothing":
        return _TASK, tuple(name for name in task_names() if task_type(name).smooths_labels)
    if key == "train.class_weights":
        return _TASK, tuple(name for name in task_names() if task_type(name).weighs_classes)
    return _NEEDS.get(key, ("", ()))


def _possible(
    key: str, parameter: Parameter, space: Space, config: Mapping[str, Any]
) -> Wanted | None:
    """The values that a key may have while a parameter is searched; None where unknown."""
    found = _by_key(space).get(key)
    if found is None:
        try:
            values: Wanted = (lookup(config, key),)
        except KeyError:
            return None
    elif isinstance(found.distribution, CategoricalDistribution):
        values = tuple(found.distribution.choices)
    else:
        return None
    conditions = _conditions(parameter, space).get(key, [])
    return tuple(
        value
        for value in values
        if all(any(same(value, one) for one in wanted) for _, wanted in conditions)
    )


def _conditions(parameter: Parameter, space: Space) -> dict[str, list[tuple[str, Wanted]]]:
    """All that must hold for a parameter to be searched, by key, with the parameter that wants it.

    Those are its own conditions, and those of the searched keys that they read.
    """
    by_key, found = _by_key(space), dict[str, list[tuple[str, Wanted]]]()
    waiting, seen = [parameter], {parameter.key}
    while waiting:
        each = waiting.pop()
        for key, wanted in each.when.items():
            found.setdefault(key, []).append((each.key, wanted))
            if key in by_key and key not in seen:
                seen.add(key)
                waiting.append(by_key[key])
    return found


def _common(conditions: list[tuple[str, Wanted]]) -> list[Scalar]:
    (_, first), *others = conditions
    return [
        value
        for value in first
        if all(any(same(value, one) for one in wanted) for _, wanted in others)
    ]


def _by_key(space: Space) -> dict[str, Parameter]:
    return {each.key: each for each in space.parameters}


def _range_text(parameter: Parameter) -> str:
    found = parameter.distribution
    if isinstance(found, CategoricalDistribution):
        return _one_of(found.choices)
    step = "" if found.step in (None, 1) else f" in steps of {found.step}"
    return f"a number from {found.low} to {found.high}{step}"


def _one_of(values: Any) -> str:
    return " or ".join(str(value) for value in values)
