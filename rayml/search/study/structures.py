"""Which structures a sweep has looked at: the values that all lanes of a cohort share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rayml.search.problem.structure import structure_of
from rayml.search.sampling.points import Points
from rayml.search.space.parameter import Identity, Params, identity
from rayml.search.space.space import Space


class Structures:
    """The structures of a study's trials.

    Which keys are structural is found out by building models, which the workers do. Until one of
    them has said so, all those of steps and choices are taken to be. A trial with a key that is not
    known then, as those of an estimator are, which trains by itself, is one of a kind.

    Args:
        space: that is searched.
        config: of a trial, for conditions on keys that are not searched.
        keys: whether a searched key is structural, as far as that is known.
    """

    def __init__(self, space: Space, config: Mapping[str, Any], keys: Mapping[str, bool]) -> None:
        self._space = space
        self._config = config
        self._trials: list[Params] = []
        self.keys = dict(keys)
        self._looked = self._points()
        self._shapes: set[Identity] = set()

    @property
    def looked(self) -> int:
        """Structures that trials have, one of a kind among them."""
        return len(self._looked)

    @property
    def shapes(self) -> int:
        """Structures that trials have by the known keys alone; 0 while none is known."""
        return len(self._shapes) if self.keys else 0

    @property
    def left(self) -> int | None:
        """Structures that no trial has; None where they are without end."""
        return self._looked.left

    def knows(self, keys: Iterable[str]) -> bool:
        """Whether it is known of all keys if they are structural."""
        return self.keys.keys() >= set(keys)

    def learn(self, keys: Mapping[str, bool]) -> bool:
        """Take in which keys are structural; whether that was news."""
        if self.knows(keys):
            return False
        # What one structure shares another one may let its lanes choose; a cohort knows.
        self.keys = {**keys, **self.keys}
        self._looked, self._shapes = self._points(), set()
        for params in self._trials:
            self._look(params)
        return True

    def add(self, params: Params) -> None:
        """Take in a trial."""
        self._trials.append(params)
        self._look(params)

    def of(self, params: Params) -> Params:
        """The structure of a trial."""
        own = bool(self.keys) and not self.knows(params)
        return params if own else structure_of(params, self._shared)

    def is_new(self, params: Params) -> bool:
        """Whether no trial has the structure of another one."""
        return self.of(params) not in self._looked

    def pick(self, rng: np.random.Generator, fixed: Params) -> Params | None:
        """A structure with some values that no trial has, by chance; None if there is none."""
        return self._looked.pick(rng, fixed)

    @property
    def _shared(self) -> Mapping[str, bool]:
        guess = {each.key: each.values() is not None for each in self._space.parameters}
        return self.keys or guess

    def _points(self) -> Points:
        shared = self._shared
        parameters = tuple(each for each in self._space.parameters if shared.get(each.key))
        return Points(Space(parameters), self._config)

    def _look(self, params: Params) -> None:
        self._looked.add(self.of(params))
        self._shapes.add(identity(structure_of(params, self.keys)))
