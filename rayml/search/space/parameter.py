"""One searched parameter: a leaf of a space, as an Optuna distribution with its condition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rayml.train.build import as_scalar

Scalar: TypeAlias = bool | int | float | str | None
Params: TypeAlias = Mapping[str, Scalar]
Identity: TypeAlias = tuple[tuple[str, str, Scalar], ...]
Distribution: TypeAlias = CategoricalDistribution | FloatDistribution | IntDistribution

TYPE = "type"
_RANGE = {"low", "high", "log", "step"}
_FIELDS = {"float": _RANGE, "int": _RANGE, "categorical": {"choices"}}


@dataclass(frozen=True)
class Parameter:
    """A searched key of the trial config.

    Attributes:
        key: dotted path, such as `train.optimizer.lr`.
        distribution: the values it may take.
        when: other keys with the values that they must have for this one to be searched.
        leaf: what the user wrote, in plain containers.
    """

    key: str
    distribution: Distribution
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    leaf: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def contains(self, value: Any) -> bool:
        """Whether the range holds a value, of the very type that the range gives."""
        if isinstance(self.distribution, CategoricalDistribution):
            return any(same(as_scalar(value), choice) for choice in self.distribution.choices)
        wanted = (int, float) if isinstance(self.distribution, FloatDistribution) else int
        if isinstance(value, bool) or not isinstance(value, wanted):
            return False
        if not self.distribution.low <= value <= self.distribution.high:
            return False
        return _on_step(value, self.distribution)

    def typed(self, value: Any) -> Scalar:
        """A value of the range as a trial would have it: 1 becomes 1.0, a list its text."""
        if isinstance(self.distribution, FloatDistribution):
            assert isinstance(value, int | float)
            return snapped(float(value), self.distribution)
        found: Scalar = as_scalar(value)
        return found

    @property
    def compound(self) -> bool:
        """Whether its choices are lists or mappings."""
        return any(
            isinstance(each, list | tuple | Mapping) for each in self.leaf.get("choices", ())
        )

    def extremes(self) -> tuple[Scalar, ...]:
        """The values that a check has to try: both ends of a range, or every choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return tuple(self.distribution.choices)
        return (self.distribution.low, self.distribution.high)

    def values(self) -> Iterator[Scalar] | None:
        """All values in order, or None where a float range has no step."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return iter(found.choices)
        if isinstance(found, IntDistribution):
            return iter(range(found.low, found.high + 1, found.step))
        return None if found.step is None else _steps(found.low, found.high, found.step)


def snapped(value: float, distribution: BaseDistribution) -> float:
    """The decimal number of a range of steps that is nearest to a value.

    Sums of floats miss it: .1 and three steps of .3 make .9999999999999999.
    """
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step))
    found = float(low + round((Decimal(value) - low) / step) * step)
    return min(max(found, distribution.low), distribution.high)


def same(one: Scalar, other: Scalar) -> bool:
    """Equality that keeps True and 1 apart."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def identity(params: Params) -> Identity:
    """What two configurations have in common if and only if they are the same."""
    # True is not 1, though it equals it.
    return tuple((key, type(value).__name__, value) for key, value in sorted(params.items()))


def is_leaf(node: object) -> bool:
    """Whether a node of a space describes a range; a key named `type` may lie in a section."""
    return isinstance(node, Mapping) and isinstance(node.get(TYPE), str)


def parse_leaf(key: str, leaf: Mapping[str, Any]) -> tuple[Parameter | None, list[str]]:
    """Read one leaf of a space.

    Returns:
        The parameter, or None with its problems, each naming the key.
    """
    kind = leaf[TYPE]
    if kind not in _FIELDS:
        return None, [f"{key}: unknown type {kind!r}; use float, int or categorical"]
    problems = [
        f"{key}: unknown field {name!r}; a {kind} has {', '.join(sorted(_FIELDS[kind]))}, when"
        for name in sorted(map(str, set(leaf) - _FIELDS[kind] - {TYPE, "when"}))
    ]
    when, wrong = _parse_when(key, leaf.get("when", {}))
    problems += wrong
    problems += _choices_problems(key, leaf) if kind == "categorical" else _range(key, leaf)
    if problems:
        return None, problems
    return Parameter(key, _distribution(leaf), when, dict(leaf)), []


def _distribution(leaf: Mapping[str, Any]) -> Distribution:
    if leaf[TYPE] == "categorical":
        return CategoricalDistribution([as_scalar(choice) for choice in leaf["choices"]])
    low, high, log, step = leaf["low"], leaf["high"], leaf.get("log", False), leaf.get("step")
    if leaf[TYPE] == "int":
        return IntDistribution(low, high, log=log, step=1 if step is None else step)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _choices_problems(key: str, leaf: Mapping[str, Any]) -> list[str]:
    choices = leaf.get("choices")
    if not isinstance(choices, list | tuple) or not choices:
        return [f"{key}: choices is not a list with a value: {choices!r}"]
    if not all(map(_is_plain, choices)):
        return [
            f"{key}: choices that JSON cannot hold: {choices!r}; use numbers, strings, true, false,"
            " null, or lists and mappings of them"
        ]
    texts = [as_scalar(choice) for choice in choices]
    twice = [one for i, one in enumerate(choices) if any(same(texts[i], c) for c in texts[:i])]
    return [f"{key}: the choice {one!r} is given twice" for one in twice]


def _range(key: str, leaf: Mapping[str, Any]) -> list[str]:
    whole = leaf[TYPE] == "int"
    number = "an integer" if whole else "a number"
    problems = []
    for name in ("low", "high", "step"):
        value = leaf.get(name)
        if value is None and name == "step":
            continue
        if not _is_number(value, whole=whole):
            hint = "; write it without quotes" if is_quoted_number(value) else ""
            problems.append(f"{key}: {name} is not {number}: {value!r}{hint}")
    if not isinstance(leaf.get("log", False), bool):
        problems.append(f"{key}: log is neither true nor false: {leaf['log']!r}")
    return problems or list(_bounds(key, leaf))


def _bounds(key: str, leaf: Mapping[str, Any]) -> Iterator[str]:
    low, high, step = leaf["low"], leaf["high"], leaf.get("step")
    if low > high:
        yield f"{key}: low {low} is above high {high}"
    if leaf.get("log", False):
        if low <= 0:
            yield f"{key}: low of a log range is not above 0: {low}"
        if step is not None:
            yield f"{key}: the range has both log and step; remove one of them"
    elif step is not None:
        if step <= 0:
            yield f"{key}: step is not above 0: {step}"
        elif low <= high and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
            yield f"{key}: high {high} is not a whole number of steps of {step} above low {low}"


def _parse_when(key: str, when: object) -> tuple[dict[str, tuple[Scalar, ...]], list[str]]:
    if not isinstance(when, Mapping):
        return {}, [f"{key}: when is not a mapping of keys to values: {when!r}"]
    found: dict[str, tuple[Scalar, ...]] = {}
    problems = []
    for other, wanted in when.items():
        values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
        if not values or not all(map(_is_plain, values)):
            problems.append(f"{key}: when.{other} is neither a value nor values: {wanted!r}")
        found[str(other)] = tuple(map(as_scalar, values))
    return found, problems


def is_quoted_number(value: object) -> bool:
    """Whether a text would be a number without its quotes."""
    try:
        float(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _is_plain(value: object) -> bool:
    """Whether JSON has a value as it is."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, Scalar) and not (isinstance(value, float) and not math.isfinite(value))


def _is_number(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return value == value and abs(value) != float("inf")  # noqa: PLR0124 - false for NaN alone


def _on_step(value: float, distribution: FloatDistribution | IntDistribution) -> bool:
    if distribution.step is None:
        return True
    steps = (Decimal(str(value)) - Decimal(str(distribution.low))) / Decimal(str(distribution.step))
    return abs(steps - round(steps)) < Decimal("1e-9")


def _steps(low: float, high: float, step: float) -> Iterator[float]:
    # Decimals, as 0.1 + 0.2 would miss the choice 0.3.
    for index in count():
        value = float(Decimal(str(low)) + index * Decimal(str(step)))
        if value > high:
            return
        yield value
