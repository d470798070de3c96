"""What finished trials taught, in tables that are kept in order and stay small."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from rayml.search.sampling.axis import Axis, Floats, axis_of

Rank = tuple[float, ...]


class Ranking:
    """The best of all trials, the latest, and an even sample of all others.

    Attributes:
        count: trials taken in.
    """

    def __init__(self, best: int, sample: int) -> None:
        self.count = 0
        self._most = best
        self._best: list[tuple[Rank, int]] = []
        self._latest: deque[int] = deque(maxlen=sample - sample // 2)
        self._even: list[int] = []
        self._most_even = sample // 2
        self._stride = 1

    def add(self, rank: Rank, row: int) -> None:
        """Take in a trial; the smaller its rank, the better."""
        insort(self._best, (rank, row))
        del self._best[self._most :]
        if len(self._latest) == self._latest.maxlen:
            self._put_even(self._latest[0])
        self._latest.append(row)
        self.count += 1

    def split(self, good: int) -> tuple[list[int], list[int]]:
        """Rows of the so many best trials, and those of the others that are kept, in order."""
        best = [row for _, row in self._best[:good]]
        known = set(best)
        return best, [row for row in (*self._even, *self._latest) if row not in known]

    def _put_even(self, row: int) -> None:
        """Keep every `stride`-th of the trials that are not among the latest any more."""
        if (self.count - len(self._latest)) % self._stride == 0:
            self._even.append(row)
        if len(self._even) > self._most_even:
            self._even, self._stride = self._even[::2], 2 * self._stride


class Observations:
    """Points of finished trials with their ranking, over all and for each parameter.

    A conditional parameter has a ranking of its own: the best among the trials that had it.

    Args:
        best: trials that a ranking keeps in order at most.
        sample: further trials that it keeps at most.
    """

    def __init__(self, best: int, sample: int) -> None:
        self._best = best
        self._sample = sample
        self._values: list[Mapping[str, Any]] = []
        self._ranks: list[Rank] = []
        self._columns: dict[str, _Column] = {}
        self._all = Ranking(best, sample)

    def __len__(self) -> int:
        return len(self._values)

    def add(
        self, rank: Rank, params: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]
    ) -> None:
        """Take in a finished trial."""
        row = len(self._values)
        self._values.append(params)
        self._ranks.append(rank)
        self._all.add(rank, row)
        for name, value in params.items():
            column = self._columns.get(name)
            if column is None:
                column = _Column(ranges[name], row, Ranking(self._best, self._sample))
                self._columns[name] = column
            elif column.distribution != ranges[name]:
                column.change(ranges[name], self._values, name)
            column.put(row, value)
            column.ranking.add(rank, row)

    def everywhere(self) -> dict[str, BaseDistribution]:
        """Ranges of the parameters that every trial had since the first one that had them."""
        return {
            name: column.distribution
            for name, column in self._columns.items()
            if column.ranking.count == len(self) - column.first
        }

    def knows(self, name: str) -> bool:
        """Whether any trial had a parameter."""
        return name in self._columns

    def ranking(self, name: str | None = None) -> Ranking:
        """Of the trials that had a parameter; of all without one."""
        return self._all if name is None else self._columns[name].ranking

    def ranks(self, rows: Sequence[int]) -> list[Rank]:
        """Of some trials; the smaller, the better."""
        return [self._ranks[row] for row in rows]

    def axis(self, name: str) -> Axis:
        """Of a parameter's latest range."""
        return axis_of(self._columns[name].distribution)

    def points(self, names: Sequence[str], rows: Sequence[int]) -> Floats:
        """(rows, names) coordinates, NaN where a trial had none within the latest range."""
        return np.stack([self._columns[name].take(rows) for name in names], axis=1)


class _Column:
    def __init__(self, distribution: BaseDistribution, first: int, ranking: Ranking) -> None:
        self.distribution = distribution
        self.first = first
        self.ranking = ranking
        self._axis = axis_of(distribution)
        self._units = np.full(64, np.nan)

    def put(self, row: int, value: Any) -> None:
        if row >= len(self._units):
            grown = np.full(2 * (row + 1), np.nan)
            grown[: len(self._units)] = self._units
            self._units = grown
        self._units[row] = self._axis.encode(value)

    def take(self, rows: Sequence[int]) -> Floats:
        found = np.full(len(rows), np.nan)
        index = np.asarray(rows, dtype=np.intp)
        inside = index < len(self._units)
        found[inside] = self._units[index[inside]]
        return found

    def change(
        self, distribution: BaseDistribution, values: Sequence[Mapping[str, Any]], name: str
    ) -> None:
        """Take another range, in which the values of earlier trials have other coordinates."""
        self.distribution, self._axis = distribution, axis_of(distribution)
        for row, params in enumerate(values):
            if name in params:
                self.put(row, params[name])
