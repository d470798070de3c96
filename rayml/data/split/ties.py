"""Divides equal rows between the splits if the fractions would be missed otherwise.

Equal rows have equal keys. The copies of a row that repeats little stay in one split, so that a
row that was recorded twice is not in both training and test; only the copies at a threshold are
divided, and the fractions hold to the row. A row that makes up a hundredth of its stratum is a
stratum of its own: such data have few values, and each must occur in training as often as in test.
The copies are equal, so it does not matter which copy goes where: a block only needs to know how
many copies the blocks before it hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.hashing import Hashes
from rayml.data.columns.keys import KeyCounts
from rayml.data.split.shares import Share
from rayml.data.split.thresholds import Thresholds

Numbers = npt.NDArray[np.int64]

_HEAVY_SHARE = 0.01  # of a stratum's rows
_HEAVY_OF_ALL = 1 / 5000  # of all rows, which bounds how many are counted block by block
_HEAVY_COPIES = 4
# A range holds few rows besides a heavy one; they move a threshold by at most as many entries.
_NEIGHBOURS = 2
_END = 2**63

TALLY = pa.schema([("stratum", pa.uint64()), ("key", pa.uint64()), ("count", pa.int64())])


@dataclass(frozen=True)
class Ranges:
    """Ranges of keys, ascending and disjoint, whose rows are counted key by key."""

    starts: Hashes
    ends: Hashes

    @classmethod
    def none(cls) -> Ranges:
        """No range at all."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64))

    def __bool__(self) -> bool:
        return bool(len(self.starts))

    def hold(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Which keys lie in a range."""
        if not self:
            return np.zeros(len(keys), dtype=np.bool_)
        place = np.searchsorted(self.starts, keys, side="right") - 1
        inside: npt.NDArray[np.bool_] = (place >= 0) & (keys < self.ends[np.maximum(place, 0)])
        return inside


@dataclass(frozen=True)
class Ties:
    """Keys whose rows are divided.

    Attributes:
        keys: ascending.
        train: numbers of rows of each that train.
        validate: numbers of rows of each that train or validate.
        before: numbers of rows of each in the blocks before this one.
    """

    keys: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    train: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    validate: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    before: Numbers = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def together(cls, parts: Sequence[Ties]) -> Ties:
        """The ties of all strata."""
        held = [part for part in parts if len(part.keys)]
        if not held:
            return cls()
        keys = np.concatenate([part.keys for part in held])
        order = np.argsort(keys)
        train, validate = (
            np.concatenate([getattr(part, name) for part in held])[order]
            for name in ("train", "validate")
        )
        return cls(keys[order], train, validate, np.zeros(len(keys), dtype=np.int64))

    def divide(self, keys: Hashes, splits: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Splits of the rows of a block, with new ones for rows of divided keys.

        Args:
            keys: of the rows.
            splits: index of the split of each row by the thresholds alone.
        """
        if not len(self.keys):
            return splits
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        tied = np.flatnonzero(self.keys[place] == keys)
        tie = place[tied]
        number = self.before[tie] + _occurrence(tie)
        divided = splits.copy()
        divided[tied] = (number >= self.train[tie]).astype(np.int8) + (number >= self.validate[tie])
        return divided


def heavy_count(stratum: int, rows: int) -> int:
    """Copies of a row beyond which it is a stratum of its own."""
    return int(max(_HEAVY_COPIES, _HEAVY_SHARE * stratum, _HEAVY_OF_ALL * rows))


def ranges_to_count(strata: Sequence[KeyCounts], shares: Sequence[Share]) -> Ranges:
    """Ranges in which keys must be counted one by one before the strata can be cut."""
    rows = sum(keys.total for keys in strata)
    starts, ends = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for keys, share in zip(strata, shares, strict=True):
        heavy = keys.counts > heavy_count(keys.total, rows)
        chosen = (heavy | _near_ends(keys, heavy, share)) & (keys.counts > 1)
        first = keys.keys[chosen]
        starts.append(first << np.uint64(keys.shift))
        ends.append((first + np.uint64(1)) << np.uint64(keys.shift))
    return _joined(np.concatenate(starts), np.concatenate(ends))


def tally(strata: Hashes, keys: Hashes, ranges: Ranges) -> pa.Table:
    """Count the rows of a block whose keys lie in some ranges, by key; see `TALLY`."""
    held = ranges.hold(keys)
    distinct, first, counts = np.unique(keys[held], return_index=True, return_counts=True)
    # A key is of one stratum, since the hash of a row includes its target.
    columns = {"stratum": strata[held][first], "key": distinct, "count": counts.astype(np.int64)}
    return pa.table(columns, schema=TALLY)


def before_each(tallies: Sequence[pa.Table], ties: Ties) -> list[Ties]:
    """The ties for each block, from the counts of the blocks in their order."""
    before, seen = np.zeros(len(ties.keys), dtype=np.int64), []
    for counted in tallies:
        seen.append(replace(ties, before=before))
        keys, counts = counted.column("key").to_numpy(), counted.column("count").to_numpy()
        place = np.searchsorted(ties.keys, keys)
        known = place < len(ties.keys)
        known[known] = ties.keys[place[known]] == keys[known]
        before = before.copy()
        before[place[known]] += counts[known]
    return seen


def exact_counts(tallies: Sequence[pa.Table]) -> dict[int, KeyCounts]:
    """The counts of all blocks, by stratum."""
    counted = pa.concat_tables(tallies)
    stratum, key, count = (counted.column(name).to_numpy() for name in TALLY.names)
    found = {}
    for each in np.unique(stratum):
        keys, place = np.unique(key[stratum == each], return_inverse=True)
        counts = np.bincount(place, weights=count[stratum == each]).astype(np.int64)
        found[int(each)] = KeyCounts(keys, counts, 0, len(keys))
    return found


@dataclass(frozen=True)
class Division:
    """The division of a stratum.

    Attributes:
        thresholds: of the rows whose keys are not divided.
        ties: the keys that are divided.
        sizes: numbers of rows of train, validation and test.
    """

    thresholds: Thresholds
    ties: Ties
    sizes: tuple[int, int, int]


def divide(keys: KeyCounts, share: Share, exact: KeyCounts, heavy_above: int) -> Division:
    """Cut a stratum to meet its share, and divide equal rows if necessary.

    Args:
        keys: counts of the stratum's keys.
        share: of its rows.
        exact: counts of those keys that were counted one by one.
        heavy_above: copies beyond which a row is a stratum of its own.
    """
    starts, counts, single = _entries(keys, exact)
    heavy = single & (counts > heavy_above)
    tests, validates, ends = _targets(counts, heavy, share)
    light, of_one = np.where(heavy, 0, counts), single & ~heavy
    cumulated = np.r_[0, np.cumsum(light)]
    middle, last = (_edge(cumulated, of_one, end) for end in ends)
    below = np.clip(middle - cumulated[:-1], 0, light)
    through = np.clip(last - cumulated[:-1], 0, light)
    below[heavy] = counts[heavy] - tests - validates
    through[heavy] = counts[heavy] - tests
    train, both = int(below.sum()), int(through.sum())
    divided = heavy | ~(_whole(below, counts) & _whole(through, counts))
    return Division(
        Thresholds(*(_threshold(starts, cumulated, end) for end in (middle, last))),
        Ties(starts[divided], below[divided], through[divided]),
        (train, both - train, int(counts.sum()) - both),
    )


def _occurrence(tie: npt.NDArray[np.intp]) -> Numbers:
    """Number of equal entries before each entry."""
    order = np.argsort(tie, kind="stable")
    ordered: npt.NDArray[np.intp] = tie[order]
    first = np.searchsorted(ordered, ordered, side="left")
    numbers: Numbers = np.empty(len(tie), dtype=np.int64)
    numbers[order] = np.arange(len(tie)) - first
    return numbers


def _targets(
    counts: Numbers, heavy: npt.NDArray[np.bool_], share: Share
) -> tuple[Numbers, Numbers, tuple[int, int]]:
    """Rows of each heavy key that test and validate, and the cuts of the other rows."""
    rows, light = int(counts.sum()), int(counts[~heavy].sum())
    tests = _spread(counts[heavy], share.test / rows, counts[heavy])
    validates = _spread(counts[heavy], share.validation / rows, counts[heavy] - tests)
    test = min(max(share.test - int(tests.sum()), 0), light)
    validation = min(max(share.validation - int(validates.sum()), 0), light - test)
    return tests, validates, (light - test - validation, light - test)


def _spread(counts: Numbers, fraction: float, room: Numbers) -> Numbers:
    """A fraction of each count, in whole numbers that sum to the fraction of all."""
    ends = np.rint(np.cumsum(counts) * fraction).astype(np.int64)
    spread: Numbers = np.minimum(np.diff(ends, prepend=0), room)
    return spread


def _near_ends(
    keys: KeyCounts, heavy: npt.NDArray[np.bool_], share: Share
) -> npt.NDArray[np.bool_]:
    """The entries in which a stratum is cut."""
    cumulated = np.cumsum(np.where(heavy, 0, keys.counts))
    near = np.zeros(len(keys.keys), dtype=np.bool_)
    # If keys are ranges, the other rows of a heavy range are not known yet.
    reach = _NEIGHBOURS + int(heavy.sum()) if keys.shift else 0
    for end in _targets(keys.counts, heavy, share)[2]:
        at = int(np.searchsorted(cumulated, end))
        if keys.shift or (at < len(near) and cumulated[at] != end):
            near[max(at - reach, 0) : at + reach + 1] = True
    return near


def _joined(starts: Hashes, ends: Hashes) -> Ranges:
    """Disjoint ranges: those of strata with coarser or finer counts may overlap."""
    if not len(starts):
        return Ranges(starts, ends)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.r_[True, starts[1:] >= ends[:-1]])
    return Ranges(starts[first], ends[np.r_[first[1:], len(ends)] - 1])


def _entries(keys: KeyCounts, exact: KeyCounts) -> tuple[Hashes, Numbers, npt.NDArray[np.bool_]]:
    """Keys and counts, ranges replaced by the single keys that were counted in them."""
    place = np.searchsorted(keys.keys, exact.keys >> np.uint64(keys.shift))
    held = np.bincount(place, weights=exact.counts, minlength=len(keys.keys))
    complete = held == keys.counts  # ranges of another stratum count parts of the others
    known = complete[place]
    starts = np.concatenate([keys.starts()[~complete], exact.keys[known]])
    counts = np.concatenate([keys.counts[~complete], exact.counts[known]])
    single = np.ones(len(starts), dtype=np.bool_)
    single[: int((~complete).sum())] = not keys.shift
    order = np.argsort(starts, kind="stable")
    return starts[order], counts[order], single[order]


def _edge(cumulated: Numbers, single: npt.NDArray[np.bool_], end: int) -> int:
    """The end itself if its entry can be divided, else the nearest end of an entry."""
    at = int(np.searchsorted(cumulated, end))
    if cumulated[at] == end or single[at - 1]:
        return end
    before, behind = int(cumulated[at - 1]), int(cumulated[at])
    return before if end - before <= behind - end else behind


def _whole(part: Numbers, counts: Numbers) -> npt.NDArray[np.bool_]:
    whole: npt.NDArray[np.bool_] = (part == 0) | (part == counts)
    return whole


def _threshold(starts: Hashes, cumulated: Numbers, end: int) -> int:
    """Key of the first entry that begins after `end` rows; above all keys if none does."""
    at = int(np.searchsorted(cumulated[:-1], end))
    return int(starts[at]) if at < len(starts) else _END
