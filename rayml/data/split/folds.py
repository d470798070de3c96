"""Deals the rows that train and validate into folds, each of which is held out in turn.

With folds no row only validates: the rows of the training and validation splits, a given validation
split included, train together, and each is held out from the model of its fold. The test split is
the one that there is without folds.

What folds keep apart is the target. Statistics of features (means, quantiles, frequent categories)
are those of all these rows: they do not know the target, and one preprocessor serves the models of
all folds. Of the target all rows together give its units alone, that is the labels, or the mean and
deviation that scale a number. Whatever a model learns of it comes from the rows of its fold.

Folds follow from the rows and the seed alone. Equal rows, equal groups and equal times fall into
one fold; only a row that makes up a hundredth of its stratum is divided, as `rayml.data.split.ties`
does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.hashing import Hashes
from rayml.data.split.ties import heavy_count

Indices = npt.NDArray[np.int64]
FoldNumbers = npt.NDArray[np.int16]

FOLD_COLUMNS = pa.schema([("held", pa.int16()), ("first", pa.int16()), ("last", pa.int16())])
"""Folds as they are stored, one row for each."""


@dataclass(frozen=True)
class Folds:
    """The folds of some rows.

    Attributes:
        count: number of folds.
        held: the fold in which each row is held out, [rows].
        first: the first fold whose model does not train on the row, [rows]. It is `held` but for
            folds by time with a gap, where neighbours of a fold are left out too.
        last: the last such fold, [rows].
    """

    count: int
    held: FoldNumbers
    first: FoldNumbers
    last: FoldNumbers

    def __len__(self) -> int:
        return len(self.held)

    def to_table(self) -> pa.Table:
        """As it is stored, see `FOLD_COLUMNS`."""
        return pa.table([self.held, self.first, self.last], schema=FOLD_COLUMNS)

    def trained(self, fold: int) -> Indices:
        """Places of the rows that the model of a fold trains on, ascending."""
        return np.flatnonzero((self.first > fold) | (self.last < fold)).astype(np.int64)

    def held_out(self, fold: int) -> Indices:
        """Places of the rows that are held out in a fold, ascending."""
        return np.flatnonzero(self.held == fold).astype(np.int64)


def deal_by_hash(strata: Hashes, keys: Hashes, folds: int, *, divide: bool) -> Folds:
    """Deal rows so that each stratum, and all rows together, are as even over the folds as may be.

    Equal keys go to one fold, the most frequent ones first, each to the fold that has the fewest
    rows of its stratum. Rows without equals then fill the folds up, so that without many equal rows
    folds differ by one row in each stratum and altogether.

    Args:
        strata: of the rows, [rows].
        keys: hashes of the rows or of their groups; equal ones are in one stratum.
        folds: number of folds.
        divide: whether a key of very many rows is dealt row by row.
    """
    held = np.empty(len(keys), np.int16)
    totals = np.zeros(folds, np.int64)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        most = heavy_count(len(rows), len(keys)) if divide else len(rows)
        sizes = np.zeros(folds, np.int64)
        held[rows] = _dealt(keys[rows], sizes, totals, most)
    return Folds(folds, held, held, held)


def deal_by_time(times: npt.NDArray[np.float64], folds: int, gap: float) -> Folds:
    """Deal rows into stretches of time of about as many rows each.

    The model of a stretch trains on the rows before and after it that are further than the gap
    from it (López de Prado, "Advances in financial machine learning", 2018, chapter 7: purged
    folds). So each row is predicted once, and each model has seen about as many rows; that a model
    knows the future of its fold is what the test split, the latest rows, makes up for.

    Args:
        times: of the rows, in any unit.
        folds: number of folds.
        gap: in the unit of the times.
    """
    moments, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    # Of `ends` the i-th moment is the first one after fold i.
    cumulated = np.cumsum(counts)
    wanted = np.arange(1, folds) * len(times) / folds
    ends = [int(np.abs(cumulated - each).argmin()) + 1 for each in wanted]
    for at in range(len(ends)):
        least = ends[at - 1] + 1 if at else 1
        ends[at] = max(least, min(ends[at], len(moments) - (folds - 1 - at)))
    stretch = np.searchsorted(np.array(ends), np.arange(len(moments)), side="right")
    held = stretch[place].astype(np.int16)
    bounds = [(times[held == fold].min(), times[held == fold].max()) for fold in np.unique(held)]
    starts, stops = (np.array(each) for each in zip(*bounds, strict=True))
    # A later fold leaves a row out that is nearer than the gap to its start, an earlier one to its
    # end.
    last = np.searchsorted(starts, times + gap, side="left") - 1
    first = np.searchsorted(stops, times - gap, side="right")
    return Folds(
        folds,
        held,
        np.minimum(held, first).astype(np.int16),
        np.maximum(held, last).astype(np.int16),
    )


def _dealt(
    keys: Hashes, sizes: npt.NDArray[np.int64], totals: npt.NDArray[np.int64], most: int
) -> FoldNumbers:
    """Folds of a stratum's rows; `sizes` are its rows by fold, `totals` those of all strata.

    Args:
        keys: ascending.
        sizes: changed in place.
        totals: changed in place.
        most: rows of one key that stay together.
    """
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    counts = np.diff(np.r_[starts, len(keys)])
    dealt = np.empty(len(keys), np.int16)
    heavy = (counts > most) & (counts > 1)
    for at in np.flatnonzero(heavy):
        shares = _filled(sizes, totals, int(counts[at]))
        dealt[starts[at] : starts[at] + counts[at]] = np.repeat(np.arange(len(sizes)), shares)
    several = np.flatnonzero((counts > 1) & ~heavy)
    for at in several[np.argsort(-counts[several], kind="stable")]:
        fold = int(np.lexsort((totals, sizes))[0])
        dealt[starts[at] : starts[at] + counts[at]] = fold
        sizes[fold] += counts[at]
        totals[fold] += counts[at]
    single = starts[counts == 1]
    shares = _filled(sizes, totals, len(single))
    dealt[single] = np.repeat(np.arange(len(sizes)), shares)
    return dealt


def _filled(
    sizes: npt.NDArray[np.int64], totals: npt.NDArray[np.int64], rows: int
) -> npt.NDArray[np.int64]:
    """How many of some rows each fold takes, so that the smallest folds come level."""
    shares = np.zeros(len(sizes), np.int64)
    order = np.lexsort((totals, sizes))
    ordered = sizes[order]
    # The level to which so many rows raise the smallest folds.
    for count in range(len(order), 0, -1):
        room = rows - int((ordered[count - 1] - ordered[:count]).sum())
        if room >= 0:
            level, rest = divmod(room, count)
            raised = ordered[count - 1] + level
            shares[order[:count]] = raised - ordered[:count]
            # What is left over goes to the folds with the fewest rows of all strata.
            fewest = order[:count][np.argsort((totals + shares)[order[:count]], kind="stable")]
            shares[fewest[:rest]] += 1
            break
    sizes += shares
    totals += shares
    return shares
