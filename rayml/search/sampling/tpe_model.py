"""The model of a TPE sampler: what is known of trials, and what it would try next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from rayml.search.sampling.axis import Floats, axis_of
from rayml.search.sampling.observations import Observations, Rank
from rayml.search.sampling.parzen import Mixture
from rayml.search.sampling.process.finite import FiniteModel

Point = frozenset[tuple[str, float]]

# Candidates that are drawn where all of the first ones were tried.
_FURTHER = (64, 256, 1024)
_DIGITS = 9


class TreeParzenModel:
    """Two densities, of good trials and of the others with those that run; see the sampler.

    The densities of finished trials are kept until one more finishes, since trials are often
    asked many at a time. Where every axis has few values, a Gaussian process takes the place of
    the densities, see `FiniteModel`.

    Args:
        candidates: points drawn for a proposal.
        share: of the trials that are good.
        good: trials in the first density at most.
        others: finished trials in the second density at most.
        width: of a kernel at least, as a share of the range, were there but one trial.
        trust: how much known values weigh, from 0 to 1.
    """

    def __init__(
        self, *, candidates: int, share: float, good: int, others: int, width: float, trust: float
    ) -> None:
        self._candidates = candidates
        self._share = share
        self._good = good
        self._width = width
        self._trust = trust
        self._seen = Observations(good, others)
        self._finite = FiniteModel(self._seen)
        self._running: dict[int, dict[str, float]] = {}
        self._tried: set[Point] = set()
        self._densities: dict[tuple[str, ...], tuple[Mixture, Mixture]] = {}

    @property
    def finished(self) -> int:
        """Trials learned from."""
        return len(self._seen)

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that run."""
        return tuple(self._running)

    def knows(self, name: str) -> bool:
        """Whether any finished trial had a parameter."""
        return self._seen.knows(name)

    def everywhere(self) -> dict[str, BaseDistribution]:
        """Ranges of the parameters that all trials have."""
        return self._seen.everywhere()

    def ranges(self, names: Iterable[str]) -> dict[str, BaseDistribution]:
        """Ranges of those of the parameters that are known."""
        return {
            name: self._seen.axis(name).distribution for name in names if self._seen.knows(name)
        }

    def runs(
        self, number: int, params: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]
    ) -> None:
        """Take in a running trial with the values that it has by now."""
        units = {
            name: axis_of(ranges[name]).encode(value)
            for name, value in params.items()
            if name in ranges
        }
        self._running.setdefault(number, {}).update(units)

    def drops(self, number: int) -> None:
        """Forget a running trial that did not come about."""
        self._running.pop(number, None)

    def stops(self, number: int) -> None:
        """Take in that a trial does not run any more, however it ended."""
        self._tried.add(_point(self._running.pop(number, {}).items()))

    def learn(
        self, rank: Rank, params: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]
    ) -> None:
        """Take in a finished trial."""
        self._seen.add(rank, params, ranges)
        self._densities.clear()
        self._finite.learned()

    def propose_one(
        self, number: int, name: str, known: Mapping[str, Any], rng: np.random.Generator
    ) -> Any:
        """Choose a parameter that only some trials have, by those that had it.

        Args:
            number: of the trial that asks.
            name: of the parameter.
            known: values that the trial has.
            rng: drawn from.
        """
        others = {
            key: value for key, value in known.items() if key != name and self._seen.knows(key)
        }
        return self.propose(number, [name], others, rng, branch=name)[name]

    def propose(
        self,
        number: int,
        free: Sequence[str],
        known: Mapping[str, Any],
        rng: np.random.Generator,
        *,
        branch: str | None = None,
        again: bool = False,
    ) -> dict[str, Any]:
        """Choose parameters together, given the values of others.

        Args:
            number: of the trial that asks.
            free: names of the parameters.
            known: values of others, which finished trials had too.
            rng: drawn from.
            branch: only trials that had this parameter teach; None takes all.
            again: what was proposed before was not taken, so something else is to be found.
        """
        names = (*free, *sorted(known))
        axes = [self._seen.axis(name) for name in names]
        units = {i: axes[i].encode(known[names[i]]) for i in range(len(free), len(names))}
        units = {i: unit for i, unit in units.items() if not math.isnan(unit)}
        running = self._running_points(number, names, branch)
        if branch is None and not again:
            is_new = self._novelty(names, number)
            point = self._finite.propose(names, units, running, rng, is_new)
            if point is not None:
                return {name: axes[i].decode(float(point[i])) for i, name in enumerate(free)}
        good, others = self._finished_densities(names, branch)
        others = others.joined(running)
        good, others = (each.given(units, self._trust) for each in (good, others))
        which = range(len(free))
        drawn = good.sample(rng, self._candidates, which)
        if branch is None and all(axis.discrete for axis in axes):
            drawn = self._untried(drawn, names, units, good, rng, number)
        gain = good.log_density(drawn, which) - others.log_density(drawn, which)
        best = drawn[int(np.argmax(gain))]
        return {name: axes[i].decode(float(best[i])) for i, name in enumerate(free)}

    def _untried(
        self,
        drawn: Floats,
        names: Sequence[str],
        units: Mapping[int, float],
        good: Mixture,
        rng: np.random.Generator,
        number: int,
    ) -> Floats:
        """Candidates that were not tried, more of them drawn if need be; any if there are none."""
        which = range(len(names) - len(units)) if units else range(len(names))
        is_new = self._novelty(names, number)
        for more in (0, *_FURTHER):
            found = good.sample(rng, more, which) if more else drawn
            found[:, list(units)] = list(units.values())
            kept = found[[is_new(row) for row in found]]
            if len(kept):
                return kept
        return drawn

    def _novelty(self, names: Sequence[str], number: int) -> Callable[[Floats], bool]:
        """Says whether no other trial has a point."""
        running = {_point(each.items()) for n, each in self._running.items() if n != number}

        def is_new(row: Floats) -> bool:
            point = _point(zip(names, row, strict=True))
            return point not in self._tried and point not in running

        return is_new

    def _finished_densities(
        self, names: tuple[str, ...], branch: str | None
    ) -> tuple[Mixture, Mixture]:
        key = (branch or "", *names)
        if key not in self._densities:
            axes = [self._seen.axis(name) for name in names]
            ranking = self._seen.ranking(branch)
            count = min(math.ceil(self._share * ranking.count), self._good)
            # The rate of Scott's rule.
            least = self._width * max(ranking.count, 1) ** (-1 / (len(names) + 4))
            good, others = (
                Mixture.around(axes, self._seen.points(names, rows), least)
                for rows in ranking.split(count)
            )
            self._densities[key] = good, others
        return self._densities[key]

    def _running_points(
        self, number: int, names: Sequence[str], branch: str | None
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows = [
            [units.get(name, math.nan) for name in names]
            for other, units in self._running.items()
            if other != number and units and (branch is None or branch in units)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _point(units: Iterable[tuple[str, float]]) -> Point:
    """Coordinates that can be compared."""
    return frozenset((name, round(float(unit), _DIGITS)) for name, unit in units)
