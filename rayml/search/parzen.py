"""Densities of observed points in the unit cube: mixtures of one product kernel a point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rayml.search.axis import Axis, Floats

_TINY = 1e-12


class Mixture:
    """A Parzen estimator: a kernel around each point, and a uniform one over the whole cube.

    All weigh the same. Kernels of numbers are normal, truncated to the range, as wide as the
    distance to the neighbours, within limits; the kernel of a choice gives the others a little.
    A point that lacks a coordinate has a uniform kernel there, so that points of other branches
    of a conditional space still count.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; widths
    as in Optuna's multivariate TPE; Watanabe, Tree-Structured Parzen Estimator:
    Understanding Its Algorithm Components and Their Roles, arXiv 2304.11127.

    Args:
        axes: of the cube, d of them.
        points: (n, d) coordinates, NaN where a point has none.
        least: width that a kernel of a number has at least.
    """

    def __init__(self, axes: Sequence[Axis], points: Floats, least: float = 0.0) -> None:
        self.size = len(points)
        self._log_weights = np.full(self.size + 1, -math.log(self.size + 1))
        self._kernels = [_kernel(axis, points[:, i], least) for i, axis in enumerate(axes)]

    def condition(self, known: Mapping[int, float], trust: float) -> None:
        """Weigh each kernel by how well it agrees with coordinates that are given.

        Args:
            known: coordinate by index of its axis.
            trust: share of the kernel in that; the rest is uniform, by which points elsewhere
                still count.
        """
        for axis, unit in known.items():
            # The last kernel is the uniform one.
            log = self._kernels[axis].log_density(np.array([unit]))[0]
            self._log_weights = self._log_weights + np.logaddexp(
                math.log(max(trust, _TINY)) + log, math.log(max(1 - trust, _TINY)) + log[-1]
            )

    def sample(self, rng: np.random.Generator, count: int, free: Sequence[int]) -> Floats:
        """Draw points.

        Returns:
            (count, d) coordinates; those of axes that are not free are NaN.
        """
        weights = np.exp(self._log_weights - self._log_weights.max())
        chosen = rng.choice(self.size + 1, size=count, p=weights / weights.sum())
        drawn = np.full((count, len(self._kernels)), np.nan)
        for axis in free:
            drawn[:, axis] = self._kernels[axis].sample(rng, chosen)
        return drawn

    def log_density(self, points: Floats, free: Sequence[int]) -> Floats:
        """(m,) logarithms of the density of m points over the free axes, up to a constant."""
        total = np.tile(self._log_weights, (len(points), 1))
        for axis in free:
            total += self._kernels[axis].log_density(points[:, axis])
        largest = total.max(axis=1)
        density: Floats = np.log(np.exp(total - largest[:, None]).sum(axis=1)) + largest
        return density


class _Choices:
    def __init__(self, axis: Axis, units: Floats) -> None:
        kernels, choices = len(units) + 1, axis.choices
        self._table = np.full((kernels, choices), 1.0 / choices)
        present = np.flatnonzero(~np.isnan(units))
        self._table[present] = 1.0 / kernels / (1.0 + choices / kernels)
        self._table[present, units[present].astype(int)] += 1.0 / (1.0 + choices / kernels)
        self._log = np.log(self._table).T

    def log_density(self, units: Floats) -> Floats:
        density: Floats = self._log[units.astype(int)]
        return density

    def sample(self, rng: np.random.Generator, chosen: np.ndarray) -> Floats:
        shares = np.cumsum(self._table[chosen], axis=1)
        # The last share is 1 up to rounding.
        drawn = (shares[:, :-1] <= rng.random(len(chosen))[:, None]).sum(axis=1)
        found: Floats = drawn.astype(np.float64)
        return found


class _Numbers:
    def __init__(self, axis: Axis, units: Floats, least: float) -> None:
        self._axis = axis
        present = ~np.isnan(units)
        self._flat = np.append(~present, True)
        self._mean = np.append(np.where(present, units, 0.5), 0.5)
        self._width = np.ones(len(units) + 1)
        self._width[:-1][present] = np.maximum(_widths(units[present]), least)
        inside = _normal_cdf((1 - self._mean) / self._width) - _normal_cdf(
            -self._mean / self._width
        )
        scale = 1.0 if axis.cells else self._width * math.sqrt(2 * math.pi)
        self._log_scale = np.log(inside * scale)

    def log_density(self, units: Floats) -> Floats:
        if self._axis.cells:
            few, inverse = np.unique(units, return_inverse=True)
            return self._log_mass(few)[inverse]
        away = (units[:, None] - self._mean) / self._width
        return np.where(self._flat, 0.0, -0.5 * away * away - self._log_scale)

    def _log_mass(self, units: Floats) -> Floats:
        start, end = (edge[:, None] for edge in self._axis.edges(units))
        mass = _normal_cdf((end - self._mean) / self._width) - _normal_cdf(
            (start - self._mean) / self._width
        )
        own = np.log(np.maximum(mass, _TINY)) - self._log_scale
        return np.where(self._flat, np.log(end - start), own)

    def sample(self, rng: np.random.Generator, chosen: np.ndarray) -> Floats:
        mean, width, flat = self._mean[chosen], self._width[chosen], self._flat[chosen]
        drawn = np.where(flat, rng.random(len(chosen)), rng.normal(mean, width))
        # At least a third of a kernel lies within the range, as its middle does.
        while (outside := (drawn < 0) | (drawn > 1)).any():
            drawn[outside] = rng.normal(mean[outside], width[outside])
        return self._axis.snap(drawn)


def _kernel(axis: Axis, units: Floats, least: float) -> _Choices | _Numbers:
    return _Choices(axis, units) if axis.choices else _Numbers(axis, units, least)


def _widths(units: Floats) -> Floats:
    """The larger distance to a neighbour, or to the end of the range for a lone point."""
    count = len(units)
    order = np.argsort(units, kind="stable")
    gaps = np.diff(np.concatenate(([0.0], units[order], [1.0])))
    widths = np.maximum(gaps[:-1], gaps[1:])
    if count >= 2:
        widths[0], widths[-1] = gaps[1], gaps[-2]
    found = np.empty(count)
    found[order] = widths
    return np.clip(found, 1.0 / min(100.0, count + 2.0), 1.0)


def _normal_cdf(x: Floats) -> Floats:
    """The normal distribution function, to 1e-7 (Abramowitz and Stegun 1964, 7.1.26)."""
    z = np.abs(x) / math.sqrt(2)
    t = 1.0 / (1.0 + 0.3275911 * z)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = t * (series + factor)
    tail = 0.5 * series * np.exp(-z * z)
    cdf: Floats = np.where(x < 0, tail, 1 - tail)
    return cdf
