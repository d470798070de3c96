"""The points of a space: which were tried, how many are left, and one of these."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rayml.search.sampling.axis import axis_of
from rayml.search.space.parameter import Identity, Parameter, Params, Scalar, identity
from rayml.search.space.space import Space

# More are taken to be without end: no sweep tries so many.
_MOST = 1_000_000
# Of a conditional space, whose points are counted one by one.
_MOST_COUNTED = 50_000
_DRAWS = 64
_LISTED = 4096


class Points:
    """The points of a space that were tried.

    Args:
        space: whose points they are.
        config: of a trial, for conditions on keys that are not searched.

    Attributes:
        size: points of the space; None where they are without end, or too many to count.
    """

    def __init__(self, space: Space, config: Mapping[str, Any]) -> None:
        self._space = space
        self._config = config
        self._tried: set[Identity] = set()
        self._inside = 0
        self.size = count_points(space, config)

    def __contains__(self, params: Params) -> bool:
        return identity(params) in self._tried

    def __len__(self) -> int:
        return len(self._tried)

    @property
    def left(self) -> int | None:
        """Points that were not tried; None where they are without end."""
        return None if self.size is None else self.size - self._inside

    def add(self, params: Params) -> None:
        """Take in a point that was tried; one of an earlier space is none of this one's."""
        known = identity(params)
        if known not in self._tried:
            self._tried.add(known)
            self._inside += self._space.contains(params, self._config)

    def pick(self, rng: np.random.Generator, fixed: Params | None = None) -> Params | None:
        """A point that was not tried, by chance.

        Args:
            rng: drawn from.
            fixed: values that it has, wherever they are searched.

        Returns:
            None if all points with these values were tried.
        """
        fixed = fixed or {}
        if self.left == 0:
            return None

        def choose(parameter: Parameter) -> Scalar:
            if parameter.key in fixed:
                return fixed[parameter.key]
            value: Scalar = axis_of(parameter.distribution).spread(rng.random())
            return value

        for _ in range(_DRAWS):
            point = self._space.filled(self._config, choose)
            if point not in self:
                return point
        return self._one_of(rng, self._space.grid(self._config, fixed))

    def _one_of(
        self, rng: np.random.Generator, points: Iterable[Mapping[str, Scalar]]
    ) -> Params | None:
        new = list(itertools.islice((each for each in points if each not in self), _LISTED))
        return new[rng.integers(len(new))] if new else None


def count_points(space: Space, config: Mapping[str, Any]) -> int | None:
    """The points of a space; None where they are without end, or too many to count."""
    sizes = [_values(parameter) for parameter in space.parameters]
    if any(size is None for size in sizes):
        return None
    most = math.prod(size for size in sizes if size is not None)
    if not any(parameter.when for parameter in space.parameters):
        return most if most <= _MOST else None
    found = sum(1 for _ in itertools.islice(space.grid(config), _MOST_COUNTED + 1))
    return found if found <= _MOST_COUNTED else None


def _values(parameter: Parameter) -> int | None:
    values = parameter.values()
    return None if values is None else sum(1 for _ in itertools.islice(values, _MOST + 1))
