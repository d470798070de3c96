"""Proposals in a space of few values along each axis: what a Gaussian process expects most of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rayml.search.sampling.axis import Axis, Floats
from rayml.search.sampling.observations import Observations
from rayml.search.sampling.process.process import Process, normal_scores

# Values of an axis at most; an axis of more is no better known by its values than by its range.
_VALUES = 64
# Fewer trials tell nothing of the hyperparameters.
_LEAST_TRIALS = 4
# Trials that the process knows, the best ones among them, so that a proposal costs the same after
# thousands of trials.
_TRIALS, _BEST = 128, 25
# Points that are compared: all, or so many drawn ones beside the neighbours of the best trials.
_POINTS, _DRAWN, _AROUND = 4096, 1024, 8


class FiniteModel:
    """Knows the trials of a finite space through a Gaussian process over their ranks.

    Where every axis has few values, points that share some of them tell much of one another, also
    by pairs, which the densities of a Parzen estimator, each a product along the axes, see late.

    Args:
        seen: finished trials.
    """

    def __init__(self, seen: Observations) -> None:
        self._seen = seen
        self._processes: dict[tuple[str, ...], Process | None] = {}

    def learned(self) -> None:
        """Forget what was computed before another trial finished."""
        self._processes.clear()

    def propose(
        self,
        names: Sequence[str],
        units: Mapping[int, float],
        running: Floats,
        rng: np.random.Generator,
        is_new: Callable[[Floats], bool],
    ) -> Floats | None:
        """The point that improves most by what is expected, among those that were not tried.

        Args:
            names: of the parameters.
            units: coordinates that the point has, by place in the names.
            running: (m, d) points of trials that run, NaN where one has no coordinate.
            rng: drawn from.
            is_new: whether a point was not tried.

        Returns:
            (d,) its coordinates. None where the space is not finite, too little is known, or all
            compared points were tried.
        """
        axes = [self._seen.axis(name) for name in names]
        values = [axis.every(_VALUES) for axis in axes]
        if any(each is None for each in values):
            return None
        process = self._process(tuple(names), axes)
        if process is None:
            return None
        process = process.joined(running[~np.isnan(running).any(axis=1)])
        every = [
            np.array([units[place]]) if place in units else each
            for place, each in enumerate(values)
            if each is not None
        ]
        points = _compared(every, process, rng)
        gain = process.improvement(points)
        # Equal ones in a random order, so that no corner of the space comes first.
        shuffled = rng.permutation(len(points))
        best = shuffled[np.argsort(-gain[shuffled], kind="stable")]
        return next((points[place] for place in best if is_new(points[place])), None)

    def _process(self, names: tuple[str, ...], axes: Sequence[Axis]) -> Process | None:
        if names not in self._processes:
            best, others = self._seen.ranking().split(_BEST)
            stride = max(1, -(-len(others) // (_TRIALS - _BEST)))
            rows = [*best, *others[::stride]]
            points = self._seen.points(names, rows)
            whole = np.flatnonzero(~np.isnan(points).any(axis=1))
            scores = normal_scores(self._seen.ranks([rows[each] for each in whole]))
            self._processes[names] = (
                Process.fitted([bool(axis.choices) for axis in axes], points[whole], scores)
                if len(whole) >= _LEAST_TRIALS
                else None
            )
        return self._processes[names]


def _compared(every: Sequence[Floats], process: Process, rng: np.random.Generator) -> Floats:
    """All points of a small space; of a large one some, with neighbours of the best trials."""
    if math.prod(len(each) for each in every) <= _POINTS:
        return np.stack(np.meshgrid(*every, indexing="ij"), axis=-1).reshape(-1, len(every))
    drawn = np.stack([rng.choice(each, size=_DRAWN) for each in every], axis=1)
    best = process.points[np.argsort(process.scores, kind="stable")[:_AROUND]]
    around = [drawn]
    for place, each in enumerate(every):
        near = np.repeat(best, len(each), axis=0)
        near[:, place] = np.tile(each, len(best))
        around.append(near)
    points = np.concatenate(around)
    for place, each in enumerate(every):
        if len(each) == 1:
            points[:, place] = each[0]
    return points
