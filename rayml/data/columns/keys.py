"""Counts of 64-bit keys, exact while there are few and by ranges of keys when there are many.

Keys are counted by their leading bits. Up to `limit` different keys all bits count, and the counts
are exact. Beyond that the fewest trailing bits are dropped that leave at most `limit` ranges. Their
number depends only on the keys themselves, so merging is exactly associative and commutative: no
order of blocks changes a result.

Of floats (see `order_floats`) the leading bits are sign, exponent and mantissa, so that ranges
have a bounded relative width, as in DDSketch (Masson, Rim and Lee, 2019) and HdrHistogram.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class KeyCounts:
    """How often each key, or range of keys, was seen.

    Attributes:
        keys: leading bits of the keys, ascending, without repeats.
        counts: how often each was seen.
        shift: number of trailing bits that were dropped.
        limit: entries at most.
    """

    keys: Keys
    counts: Counts
    shift: int
    limit: int

    @classmethod
    def of(cls, keys: Keys, limit: int) -> KeyCounts:
        """Count keys."""
        distinct, counts = np.unique(keys, return_counts=True)
        return _coarsen(cls(distinct, counts.astype(np.int64), 0, limit))

    @property
    def total(self) -> int:
        """Number of keys that were counted."""
        return int(self.counts.sum())

    def merge(self, other: KeyCounts) -> KeyCounts:
        """Count the keys of both."""
        shift = max(self.shift, other.shift)
        keys = np.concatenate([_cut(part.keys, shift - part.shift) for part in (self, other)])
        counts = np.concatenate([self.counts, other.counts])
        order = np.argsort(keys, kind="stable")
        return _coarsen(_collapse(keys[order], counts[order], shift, self.limit))

    def starts(self) -> Keys:
        """Smallest key of each entry."""
        return self.keys << np.uint64(self.shift)

    def centers(self) -> Keys:
        """A key in the middle of each entry; the key itself while counts are exact."""
        half = (1 << self.shift) >> 1
        return self.starts() + np.uint64(half)


def order_floats(values: Floats) -> Keys:
    """Map finite floats to keys in the same order."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def floats_of(keys: Keys) -> Floats:
    """Undo `order_floats`."""
    bits = np.where(keys & _SIGN, keys ^ _SIGN, ~keys)
    return bits.view(np.float64)


def _coarsen(counts: KeyCounts) -> KeyCounts:
    keys, limit = counts.keys, counts.limit
    if len(keys) <= limit:
        return counts
    # Neighbours stay apart until the highest bit in which they differ is dropped, so the
    # `limit`-th largest gap gives the number of bits to drop.
    gaps = keys[1:] ^ keys[:-1]
    bits = int(np.partition(gaps, len(gaps) - limit)[len(gaps) - limit]).bit_length()
    return _collapse(_cut(keys, bits), counts.counts, counts.shift + bits, limit)


def _cut(keys: Keys, bits: int) -> Keys:
    return keys >> np.uint64(bits)


def _collapse(keys: Keys, counts: Counts, shift: int, limit: int) -> KeyCounts:
    if not len(keys):
        return KeyCounts(keys, counts, shift, limit)
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return KeyCounts(keys[first], np.add.reduceat(counts, first), shift, limit)
