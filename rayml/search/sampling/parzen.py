"""Densities of observed points in the unit cube: mixtures of one product kernel a point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayml.search.sampling.axis import Axis, Floats

Indices = NDArray[np.intp]

_TINY = 1e-12


@dataclass(frozen=True)
class Mixture:
    """A Parzen estimator: a kernel around each point, and a uniform one over the whole cube.

    All weigh the same. Kernels of numbers are normal, truncated to the range, as wide as the
    distance to the neighbours, within limits; the kernel of a choice gives the others a little.
    A point that lacks a coordinate has a uniform kernel there, so that points of other branches
    of a conditional space still count.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; widths
    as in Optuna's multivariate TPE; Watanabe, Tree-Structured Parzen Estimator:
    Understanding Its Algorithm Components and Their Roles, arXiv 2304.11127.

    Attributes:
        kernels: along each axis, for the n points.
        log_weights: (n + 1,) of the kernels, that of the uniform one first; up to a constant.
        least: width that a kernel of a number has at least.
    """

    kernels: tuple[_Kernels, ...]
    log_weights: Floats
    least: float

    @classmethod
    def around(cls, axes: Sequence[Axis], points: Floats, least: float = 0.0) -> Mixture:
        """A mixture of kernels that weigh the same.

        Args:
            axes: of the cube, d of them.
            points: (n, d) coordinates, NaN where a point has none.
            least: width that a kernel of a number has at least.
        """
        kernels = tuple(
            _Choices.around(axis, points[:, i])
            if axis.choices
            else _Numbers.around(axis, points[:, i], least)
            for i, axis in enumerate(axes)
        )
        return cls(kernels, _equal_weights(len(points)), least or _least_width(len(points)))

    @property
    def size(self) -> int:
        """Points with a kernel."""
        return len(self.log_weights) - 1

    def joined(self, points: Floats) -> Mixture:
        """With kernels of the least width around further points; the others stay as they are."""
        kernels = (each.joined(points[:, i], self.least) for i, each in enumerate(self.kernels))
        return Mixture(tuple(kernels), _equal_weights(self.size + len(points)), self.least)

    def given(self, known: Mapping[int, float], trust: float) -> Mixture:
        """With each kernel weighed by how well it agrees with coordinates that are known.

        Args:
            known: coordinate by index of its axis.
            trust: share of the kernel in that; the rest is uniform, by which points elsewhere
                still count.
        """
        weights = self.log_weights
        own, rest = math.log(max(trust, _TINY)), math.log(max(1 - trust, _TINY))
        for axis, unit in known.items():
            log = self.kernels[axis].log_density(np.array([unit]))[0]
            weights = weights + np.logaddexp(own + log, rest + log[0])
        return Mixture(self.kernels, weights, self.least)

    def sample(self, rng: np.random.Generator, count: int, free: Sequence[int]) -> Floats:
        """Draw points.

        Returns:
            (count, d) coordinates; those of axes that are not free are NaN.
        """
        weights = np.exp(self.log_weights - self.log_weights.max())
        chosen = rng.choice(self.size + 1, size=count, p=weights / weights.sum())
        drawn = np.full((count, len(self.kernels)), np.nan)
        for axis in free:
            drawn[:, axis] = self.kernels[axis].sample(rng, chosen)
        return drawn

    def log_density(self, points: Floats, free: Sequence[int]) -> Floats:
        """(m,) logarithms of the density of m points over the free axes, up to a constant."""
        total = np.tile(self.log_weights, (len(points), 1))
        for axis in free:
            total += self.kernels[axis].log_density(points[:, axis])
        largest = total.max(axis=1)
        density: Floats = np.log(np.exp(total - largest[:, None]).sum(axis=1)) + largest
        return density


class _Kernels(Protocol):
    """Kernels along one axis, one a point after a uniform one."""

    def joined(self, units: Floats, width: float) -> _Kernels: ...

    def log_density(self, units: Floats) -> Floats:
        """(m, n + 1) logarithms of the densities of all kernels at m coordinates."""

    def sample(self, rng: np.random.Generator, chosen: Indices) -> Floats:
        """A coordinate from each of the chosen kernels."""


@dataclass(frozen=True)
class _Choices:
    """Kernels of a choice, as (n + 1, choices) probabilities."""

    table: Floats
    weight: float

    @classmethod
    def around(cls, axis: Axis, units: Floats) -> _Choices:
        """The more points there are, the less a kernel gives to other choices."""
        weight = 1.0 / (len(units) + 1)
        none = np.full((1, axis.choices), 1.0 / axis.choices)
        return cls(none, weight).joined(units, 0.0)

    def joined(self, units: Floats, width: float) -> _Choices:  # noqa: ARG002
        """See `Mixture.joined`; a choice has no width."""
        choices = self.table.shape[1]
        table = np.full((len(units), choices), 1.0 / choices)
        present = np.flatnonzero(~np.isnan(units))
        table[present] = self.weight / (1.0 + choices * self.weight)
        table[present, units[present].astype(int)] += 1.0 / (1.0 + choices * self.weight)
        return _Choices(np.concatenate([self.table, table]), self.weight)

    def log_density(self, units: Floats) -> Floats:
        """See `_Kernels`."""
        density: Floats = np.log(self.table.T[units.astype(int)])
        return density

    def sample(self, rng: np.random.Generator, chosen: Indices) -> Floats:
        """See `_Kernels`."""
        shares = np.cumsum(self.table[chosen], axis=1)
        # The last share is 1 up to rounding.
        drawn = (shares[:, :-1] <= rng.random(len(chosen))[:, None]).sum(axis=1)
        found: Floats = drawn.astype(np.float64)
        return found


@dataclass(frozen=True)
class _Numbers:
    """Truncated normal kernels, each of arrays with n + 1 entries; flat ones are uniform."""

    axis: Axis
    mean: Floats
    width: Floats
    flat: NDArray[np.bool_]
    log_scale: Floats

    @classmethod
    def around(cls, axis: Axis, units: Floats, least: float) -> _Numbers:
        """As wide as the larger distance to a neighbour."""
        widths = np.ones(len(units) + 1)
        present = np.flatnonzero(~np.isnan(units))
        widths[present + 1] = np.maximum(_widths(units[present]), least)
        return cls._of(axis, np.concatenate(([np.nan], units)), widths)

    @classmethod
    def _of(cls, axis: Axis, units: Floats, width: Floats) -> _Numbers:
        flat = np.isnan(units)
        mean = np.where(flat, 0.5, units)
        inside = _normal_cdf((1 - mean) / width) - _normal_cdf(-mean / width)
        scale = 1.0 if axis.cells else width * math.sqrt(2 * math.pi)
        return cls(axis, mean, width, flat, np.log(inside * scale))

    def joined(self, units: Floats, width: float) -> _Numbers:
        """See `Mixture.joined`."""
        new = self._of(self.axis, units, np.full(len(units), width))
        return _Numbers(
            self.axis,
            np.concatenate([self.mean, new.mean]),
            np.concatenate([self.width, new.width]),
            np.concatenate([self.flat, new.flat]),
            np.concatenate([self.log_scale, new.log_scale]),
        )

    def log_density(self, units: Floats) -> Floats:
        """See `_Kernels`."""
        if self.axis.cells:
            few, inverse = np.unique(units, return_inverse=True)
            return self._log_mass(few)[inverse]
        away = (units[:, None] - self.mean) / self.width
        return np.where(self.flat, 0.0, -0.5 * away * away - self.log_scale)

    def _log_mass(self, units: Floats) -> Floats:
        start, end = (edge[:, None] for edge in self.axis.edges(units))
        after = _normal_cdf((end - self.mean) / self.width)
        mass = after - _normal_cdf((start - self.mean) / self.width)
        own = np.log(np.maximum(mass, _TINY)) - self.log_scale
        return np.where(self.flat, np.log(end - start), own)

    def sample(self, rng: np.random.Generator, chosen: Indices) -> Floats:
        """See `_Kernels`."""
        mean, width = self.mean[chosen], self.width[chosen]
        drawn = np.where(self.flat[chosen], rng.random(len(chosen)), rng.normal(mean, width))
        # At least a third of a kernel lies within the range, as its middle does.
        while (outside := (drawn < 0) | (drawn > 1)).any():
            drawn[outside] = rng.normal(mean[outside], width[outside])
        return self.axis.snap(drawn)


def _equal_weights(points: int) -> Floats:
    return np.full(points + 1, -math.log(points + 1))


def _least_width(count: int) -> float:
    return 1.0 / min(100.0, count + 2.0)


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
    return np.clip(found, _least_width(count), 1.0)


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
