"""The typed search space: which keys of a trial's config are searched, where, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial

from rayml.errors import InvalidConfigError
from rayml.search.space.parameter import (
    Parameter,
    Params,
    Scalar,
    is_leaf,
    parse_leaf,
    same,
    snapped,
)
from rayml.train.build import as_scalar

_ABSENT = object()


@dataclass(frozen=True)
class Space:
    """The searched parameters, each after those that its condition reads."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Space:
        """Read a space from nested mappings that mirror the config.

        A leaf has a `type` (float, int, categorical) with its range, and may have `when`, which
        maps dotted keys to the value or values that they must have.

        Raises:
            InvalidConfigError: all that is wrong with it, each line naming its key.
        """
        parameters: dict[str, Parameter] = {}
        problems: list[str] = []
        for key, node in _leaves(tree):
            if not is_leaf(node):
                problems.append(f"{key}: not a mapping with a type: {node!r}")
                continue
            parameter, wrong = parse_leaf(key, node)
            problems += wrong
            if key in parameters:
                problems.append(f"{key}: searched twice; remove one of them")
            if parameter is not None:
                parameters[key] = parameter
        problems += _condition_problems(parameters)
        if problems:
            raise InvalidConfigError([f"space.{problem}" for problem in problems])
        return cls(tuple(_ordered(parameters)))

    @property
    def keys(self) -> tuple[str, ...]:
        """Dotted keys of the searched parameters."""
        return tuple(parameter.key for parameter in self.parameters)

    def tree(self) -> dict[str, Mapping[str, Any]]:
        """The space as plain containers that `parse` reads back, one entry a parameter."""
        return {parameter.key: parameter.leaf for parameter in self.parameters}

    def suggest(self, trial: Trial, config: Mapping[str, Any]) -> dict[str, Scalar]:
        """Let Optuna's sampler choose each parameter whose condition holds.

        Args:
            trial: the asked trial.
            config: the trial config, for conditions on keys that are not searched.
        """
        return self.filled(config, lambda parameter: _suggest(trial, parameter))

    def filled(
        self, config: Mapping[str, Any], choose: Callable[[Parameter], Scalar]
    ) -> dict[str, Scalar]:
        """Choose a value for each parameter whose condition holds.

        Args:
            config: the trial config, for conditions on keys that are not searched.
            choose: gives a parameter its value.
        """
        chosen: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if self._active(parameter, chosen, config):
                chosen[parameter.key] = choose(parameter)
        return chosen

    def contains(self, params: Params, config: Mapping[str, Any]) -> bool:
        """Whether the space could have proposed these parameters."""
        known = {parameter.key for parameter in self.parameters}
        if not known >= params.keys():
            return False
        for parameter in self.parameters:
            active = self._active(parameter, params, config)
            if active != (parameter.key in params):
                return False
            if active and not parameter.contains(params[parameter.key]):
                return False
        return True

    def adopt(
        self,
        params: Params,
        config: Mapping[str, Any],
        fill: Callable[[Parameter], Scalar] | None = None,
    ) -> dict[str, Scalar] | None:
        """Values that another space proposed, as this one would have.

        A parameter that the other space did not search had the value that the config holds.

        Args:
            params: the values.
            config: the trial config.
            fill: gives a value to a parameter whose range does not hold that of the config.

        Returns:
            A value for each parameter whose condition holds; None where one is out of its
            range, or has none.
        """
        found: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if not self._active(parameter, found, config):
                continue
            if parameter.key in params:
                value = params[parameter.key]
            else:
                value = as_scalar(lookup(config, parameter.key))
                if fill is not None and not parameter.contains(value):
                    value = fill(parameter)
            if not parameter.contains(value):
                return None
            found[parameter.key] = parameter.typed(value)
        return found

    def distributions(self, params: Params) -> dict[str, BaseDistribution]:
        """The distributions of some of its parameters."""
        return {each.key: each.distribution for each in self.parameters if each.key in params}

    def grid(
        self, config: Mapping[str, Any], fixed: Params | None = None
    ) -> Iterator[dict[str, Scalar]]:
        """Every combination of values, those of parameters whose condition fails left out.

        Args:
            config: the trial config, for conditions on keys that are not searched.
            fixed: values that parameters have in all combinations, wherever they are searched.
        """
        yield from self._grid({}, self.parameters, config, fixed or {})

    def _grid(
        self,
        chosen: dict[str, Scalar],
        rest: tuple[Parameter, ...],
        config: Mapping[str, Any],
        fixed: Params,
    ) -> Iterator[dict[str, Scalar]]:
        if not rest:
            yield chosen
            return
        parameter, others = rest[0], rest[1:]
        if not self._active(parameter, chosen, config):
            yield from self._grid(chosen, others, config, fixed)
            return
        key = parameter.key
        for value in (fixed[key],) if key in fixed else parameter.values() or ():
            yield from self._grid({**chosen, key: value}, others, config, fixed)

    def _active(self, parameter: Parameter, chosen: Params, config: Mapping[str, Any]) -> bool:
        searched = set(self.keys)
        for key, wanted in parameter.when.items():
            # A searched key that was not chosen is inactive itself, and so is what hangs on it.
            value = chosen.get(key, _ABSENT) if key in searched else lookup(config, key)
            if not any(same(as_scalar(value), one) for one in wanted):
                return False
        return True


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of nested mappings.

    Raises:
        KeyError: there is none.
    """
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(key)
        value = value[part]
    return value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, node in tree.items():
        key = f"{prefix}{name}"
        if isinstance(node, Mapping) and not is_leaf(node):
            yield from _leaves(node, f"{key}.")
        else:
            yield key, node


def _condition_problems(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    for parameter in parameters.values():
        for key, wanted in parameter.when.items():
            if key in parameters and not any(parameters[key].contains(value) for value in wanted):
                yield f"{parameter.key}: when.{key} never holds, as {list(wanted)} is not searched"
    ordered = {parameter.key for parameter in _ordered(parameters)}
    circle = sorted(set(parameters) - ordered)
    if circle:
        yield f"{circle[0]}: conditions go round in a circle over {', '.join(circle)}"


def _ordered(parameters: Mapping[str, Parameter]) -> list[Parameter]:
    """Parameters after those they depend on; those in a circle are left out."""
    done: dict[str, Parameter] = {}
    while True:
        ready = [
            parameter
            for key, parameter in parameters.items()
            if key not in done
            and all(other in done or other not in parameters for other in parameter.when)
        ]
        if not ready:
            return list(done.values())
        done.update((parameter.key, parameter) for parameter in ready)


def _suggest(trial: Trial, parameter: Parameter) -> Scalar:
    key, found = parameter.key, parameter.distribution
    if isinstance(found, CategoricalDistribution):
        return trial.suggest_categorical(key, found.choices)
    if isinstance(found, IntDistribution):
        return trial.suggest_int(key, found.low, found.high, step=found.step, log=found.log)
    value = trial.suggest_float(key, found.low, found.high, step=found.step, log=found.log)
    return snapped(value, found)
