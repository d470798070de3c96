"""Measures on some training rows how well one column alone predicts the target.

A column that determines the target is seldom known at prediction time: it was recorded with the
answer, or derived from it. A value is scored by the target of other rows with the same value (or
the same range of values, or missing), each half of the rows by the other half, so that a column of
many values does not score high by chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.statistics.target import label_text
from rayml.types import Kind

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

STRONG = 0.995
"""AUROC, or explained variance or rank correlation of a regression, beyond which a column nearly
determines the target."""

_BINS = 64
_ROWS_A_BIN = 10
_REPEATS = 5  # rows for each class, so that a match is not chance
_CLASSES = 20  # the most frequent ones are measured
_CLASS_ROWS = 10  # a class with fewer rows is not measured


def repeats(column: pa.ChunkedArray, target: pa.ChunkedArray, *, has_classes: bool) -> bool:
    """Whether a column holds the target, value for value; classes may have other names."""
    ours, theirs = (label_text(values.combine_chunks()) for values in (column, target))
    if not has_classes:
        return bool(ours.equals(theirs))
    one, other = ours.dictionary_encode(), theirs.dictionary_encode()
    if ours.null_count or theirs.null_count or len(other.dictionary) < 2:
        return False
    distinct = len(one.dictionary)
    if distinct != len(other.dictionary) or distinct * _REPEATS > len(ours):
        return False
    pairs = one.indices.to_numpy().astype(np.int64) * len(other.dictionary)
    return len(np.unique(pairs + other.indices.to_numpy())) == distinct


def strength(
    column: pa.ChunkedArray, kind: Kind, target: pa.ChunkedArray, *, has_classes: bool
) -> float:
    """How well a column alone predicts the target, 1 at most.

    Args:
        column: of typed rows, in random order.
        kind: of its values.
        target: of the same rows, without missing values.
        has_classes: whether the target is a label; else it is a number.

    Returns:
        For classes the AUROC, averaged over them. For a regression the explained share of the
        variance or the rank correlation, whichever is larger.
    """
    numbers = _numbers(column, kind)
    codes = _codes(column, numbers)
    if not has_classes:
        return _of_numbers(numbers, codes, target.to_numpy())
    labels = label_text(target.combine_chunks()).dictionary_encode().indices.to_numpy()
    counts = np.bincount(labels)
    measured = [c for c in np.argsort(-counts)[:_CLASSES] if counts[c] >= _CLASS_ROWS]
    found = [_of_class(numbers, codes, labels == each) for each in measured]
    return float(np.mean(found)) if len(found) > 1 else 0.5


def _of_class(numbers: Numbers | None, codes: Codes, positive: npt.NDArray[np.bool_]) -> float:
    best = auroc(_cross_fitted(codes, positive.astype(np.float64)), positive)
    if numbers is not None and not np.isnan(numbers).any():
        plain = auroc(numbers, positive)
        best = max(best, plain, 1 - plain)
    return best


def _of_numbers(numbers: Numbers | None, codes: Codes, target: Numbers) -> float:
    best = _explained(_cross_fitted(codes, target), target)
    if numbers is None:
        return best
    present = ~np.isnan(numbers)
    if present.sum() < max(_CLASS_ROWS, len(target) / 2):
        return best
    one, other = numbers[present], target[present]
    linear, ranks = _correlation(one, other) ** 2, abs(_correlation(_ranks(one), _ranks(other)))
    return max(best, linear, ranks)


def auroc(score: Numbers, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve; ties count half. Both classes must occur."""
    hits = int(positive.sum())
    wins = _ranks(score)[positive].sum() - hits * (hits + 1) / 2
    return float(wins / (hits * (len(score) - hits)))


def _ranks(values: Numbers) -> Numbers:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts - 1) / 2
    ranks: Numbers = middles[place]
    return ranks


def _correlation(one: Numbers, other: Numbers) -> float:
    deviations = one.std() * other.std()
    if not np.isfinite(deviations) or not deviations:
        return 0.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / deviations)


def _explained(predicted: Numbers, target: Numbers) -> float:
    variance = target.var()
    return float(1 - ((target - predicted) ** 2).mean() / variance) if variance else 0.0


def _cross_fitted(codes: Codes, target: Numbers) -> Numbers:
    """The target's mean by code in the other half of the rows, shrunk a little to the overall."""
    odd = np.arange(len(codes)) % 2 == 1
    size, overall = int(codes.max()) + 1, target.mean()
    scores = np.empty(len(codes))
    for half in (odd, ~odd):
        counts = np.bincount(codes[half], minlength=size)
        sums = np.bincount(codes[half], weights=target[half], minlength=size)
        scores[~half] = ((sums + 0.1 * overall) / (counts + 0.1))[codes[~half]]
    return scores


def _numbers(column: pa.ChunkedArray, kind: Kind) -> Numbers | None:
    """Numbers and times as floats, NaN where missing; None for other kinds."""
    if kind == "timestamp":
        column = column.cast(pa.int64())
    elif kind != "numeric":
        return None
    floats: Numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return floats


def _codes(column: pa.ChunkedArray, numbers: Numbers | None) -> Codes:
    """A code for each value or range of values; 0 for missing ones."""
    if numbers is None:
        indices = column.combine_chunks().dictionary_encode().indices
        places: Codes = indices.fill_null(-1).to_numpy().astype(np.int64) + 1
        return places
    present = ~np.isnan(numbers)
    codes: Codes = np.zeros(len(numbers), dtype=np.int64)
    if not present.any():
        return codes
    bins = min(_BINS, max(2, int(present.sum()) // _ROWS_A_BIN))
    edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, bins + 1)[1:-1]))
    codes[present] = np.searchsorted(edges, numbers[present], side="right") + 1
    return codes
