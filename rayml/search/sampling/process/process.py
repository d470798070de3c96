"""A Gaussian process over the points of a finite space: what it expects of each, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayml.search.sampling.axis import Floats

# Where hyperparameters are sought: logarithms of an axis's rate and of the noise's variance, and
# how far from there they are expected.
_RATE, _NOISE, _SPREAD = math.log(0.5), -3.0, 1.5
_STEPS, _PACE = 25, 0.2
_LEAST = 1e-9


@dataclass(frozen=True)
class Process:
    """A Gaussian process with known hyperparameters, given scores at some points.

    The kernel is a product over the axes: exp(-rate) between two different choices, exp(-rate *
    distance) between two numbers. Rates and noise are those of the largest posterior, so an axis
    that changes nothing has a rate near 0.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, 5.4.1; Jones et
    al., Efficient Global Optimization of Expensive Black-Box Functions, 1998.

    Attributes:
        choices: whether an axis is one of choices, by axis.
        points: (n, d) coordinates.
        scores: (n,) of the points, smaller is better.
        rates: (d,) of the kernel.
        noise: variance of the scores beside what the points explain.
    """

    choices: NDArray[np.bool_]
    points: Floats
    scores: Floats
    rates: Floats
    noise: float

    @classmethod
    def fitted(cls, choices: Sequence[bool], points: Floats, scores: Floats) -> Process:
        """A process whose hyperparameters suit the scores."""
        which = np.array(choices, dtype=np.bool_)
        rates, noise = _fit(_distances(which, points, points), scores)
        return cls(which, points, scores, rates, noise)

    def joined(self, points: Floats) -> Process:
        """With further points, which are taken to score as expected; so others are preferred."""
        if not len(points):
            return self
        mean, _ = self.expected(points)
        return Process(
            self.choices,
            np.concatenate([self.points, points]),
            np.concatenate([self.scores, mean]),
            self.rates,
            self.noise,
        )

    def expected(self, points: Floats) -> tuple[Floats, Floats]:
        """(m,) mean and (m,) standard deviation of m points, without noise."""
        own = self._kernel(self.points, self.points)
        factor = np.linalg.cholesky(own + self.noise * np.eye(len(own)))
        across = np.linalg.solve(factor, self._kernel(self.points, points))
        mean: Floats = across.T @ np.linalg.solve(factor, self.scores)
        return mean, np.sqrt(np.maximum(1.0 - (across * across).sum(axis=0), _LEAST))

    def improvement(self, points: Floats) -> Floats:
        """(m,) improvement that is expected of m points over the best of the known ones."""
        best = self.expected(self.points)[0].min()
        mean, deviation = self.expected(points)
        away = (best - mean) / deviation
        density = np.exp(-0.5 * away * away) / math.sqrt(2 * math.pi)
        below = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in away])
        found: Floats = deviation * (away * below + density)
        return found

    def _kernel(self, one: Floats, other: Floats) -> Floats:
        # Axis by axis, as thousands of points are compared with all known ones.
        total = np.zeros((len(one), len(other)))
        for axis, rate in enumerate(self.rates):
            part = slice(axis, axis + 1)
            away = _distances(self.choices[part], one[:, part], other[:, part])
            total -= rate * away[:, :, 0]
        return np.exp(total)


def normal_scores(ranks: Sequence[Any]) -> Floats:
    """(n,) quantiles of a normal distribution in the order of n ranks; equal ones score equal."""
    order = sorted(range(len(ranks)), key=lambda each: ranks[each])
    scores = np.empty(len(ranks))
    normal, start = NormalDist(), 0
    while start < len(order):
        end = start + 1
        while end < len(order) and ranks[order[end]] == ranks[order[start]]:
            end += 1
        scores[order[start:end]] = normal.inv_cdf((start + end) / 2 / len(order))
        start = end
    return scores


def _distances(choices: NDArray[np.bool_], one: Floats, other: Floats) -> Floats:
    """(n, m, d) along each axis."""
    away: Floats = np.abs(one[:, None, :] - other[None, :, :])
    return np.where(choices, away > 0, away)


def _fit(distances: Floats, scores: Floats) -> tuple[Floats, float]:
    """Rates and noise of the largest posterior that some steps of Adam come to."""
    axes = distances.shape[2]
    prior = np.array([_RATE] * axes + [_NOISE])
    at, mean, square = prior.copy(), np.zeros(axes + 1), np.zeros(axes + 1)
    best, found = math.inf, at
    for step in range(1, _STEPS + 1):
        loss, slope = _posterior(at, prior, distances, scores)
        if loss < best:
            best, found = loss, at
        mean = 0.8 * mean + 0.2 * slope
        square = 0.95 * square + 0.05 * slope * slope
        scale = np.sqrt(square / (1 - 0.95**step)) + 1e-8
        at = at - _PACE * mean / (1 - 0.8**step) / scale
    return np.exp(found[:axes]), float(np.exp(found[axes]))


def _posterior(
    at: Floats, prior: Floats, distances: Floats, scores: Floats
) -> tuple[float, Floats]:
    """The negative logarithm of the posterior at some hyperparameters, and its gradient."""
    rates, noise = np.exp(at[:-1]), float(np.exp(at[-1])) + _LEAST
    kernel = np.exp(-distances @ rates)
    factor = np.linalg.cholesky(kernel + noise * np.eye(len(kernel)))
    inverse = np.linalg.inv(factor)
    inverse = inverse.T @ inverse
    weights = inverse @ scores
    away = (at - prior) / _SPREAD
    loss = 0.5 * scores @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
    half = 0.5 * (inverse - np.outer(weights, weights))
    by_rate = -np.tensordot(half * kernel, distances, axes=2) * rates
    slope = np.concatenate([by_rate, [np.trace(half) * noise]]) + away / _SPREAD
    return float(loss), slope
