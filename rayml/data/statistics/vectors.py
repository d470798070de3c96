"""Mergeable aggregates of vectors: their mean, and how their coordinates vary together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.keys import Floats

STATE = pa.schema([("count", pa.int64()), ("mean", pa.binary()), ("products", pa.binary())])


@dataclass(frozen=True)
class VectorStatistics:
    """Aggregates of vectors; merged as `NumericStatistics` are.

    Attributes:
        count: of vectors.
        mean: [width].
        products: sums of products of differences from the mean, [width, width].
    """

    count: int
    mean: Floats
    products: Floats

    @classmethod
    def of(cls, vectors: npt.NDArray[np.float64]) -> VectorStatistics:
        """Aggregate finite vectors, [vectors, width]."""
        width = vectors.shape[1]
        if not len(vectors):
            return cls(0, np.zeros(width), np.zeros((width, width)))
        mean = vectors.mean(axis=0)
        apart = vectors - mean
        return cls(len(vectors), mean, apart.T @ apart)

    def merge(self, other: VectorStatistics) -> VectorStatistics:
        """Aggregates of the vectors of both."""
        if not (self.count and other.count):
            return other if other.count else self
        count = self.count + other.count
        share, gap = other.count / count, other.mean - self.mean
        between = np.outer(gap, gap) * (self.count * share)
        return VectorStatistics(
            count, self.mean + gap * share, self.products + other.products + between
        )

    def directions(self, most: int) -> Floats:
        """The directions of the greatest variance, [directions, width], each of length 1.

        They are the principal components; those without variance are left out, but for the first.
        """
        values, vectors = np.linalg.eigh(self.products)
        order = np.argsort(values, kind="stable")[::-1][:most]
        varying = values[order] > values[order[0]] * 1e-10
        chosen = vectors[:, order[: max(int(varying.sum()), 1)]].T
        # A direction and its opposite are one: the greatest part is positive.
        greatest = np.abs(chosen).argmax(axis=1)
        signs = np.sign(chosen[np.arange(len(chosen)), greatest])
        return np.ascontiguousarray(chosen * signs[:, None])

    def state(self) -> pa.Table:
        """State as an Arrow table of one row."""
        row = {
            "count": self.count,
            "mean": self.mean.tobytes(),
            "products": np.ascontiguousarray(self.products).tobytes(),
        }
        return pa.Table.from_pylist([row], schema=STATE)

    @classmethod
    def from_state(cls, row: dict[str, object]) -> VectorStatistics:
        """Restore a row of the state."""
        count, mean, products = (row[name] for name in STATE.names)
        assert isinstance(count, int)
        assert isinstance(mean, bytes)
        assert isinstance(products, bytes)
        width = len(mean) // 8
        return cls(count, np.frombuffer(mean), np.frombuffer(products).reshape(width, width))
