"""Chooses a decision rule by a metric, where that gains more than chance on other rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rayml.tasks.decisions.rule import HALF, ByThreshold, Compared, DecisionRule, rule_of_costs

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Hits = npt.NDArray[np.bool_]

_FOLDS = 5
_RESAMPLES = 1000


def choose_threshold(positive: Floats, truth: Codes, metric: ByThreshold) -> DecisionRule | None:
    """The threshold that is best by a metric; None where none beats a half beyond chance.

    It is cross-validated: decisions by thresholds of four fifths of the rows must gain more on the
    others than the standard error of the gain, by a bootstrap of the rows.

    Args:
        positive: probabilities of the positive class for rows that did not train the model, [rows].
        truth: 1 where a row is of the positive class, else 0, [rows].
        metric: to maximise.
    """
    if not _enough(truth, 2) or not np.isfinite(positive).all():
        return None
    decided = np.zeros(len(truth), bool)
    folds = _dealt(truth)
    for fold in range(_FOLDS):
        held = folds == fold
        decided[held] = positive[held] >= _best(positive[~held], truth[~held], metric)
    compared = _compared(truth, positive >= HALF, decided, lambda cells: _of_two(cells, metric))
    threshold = _best(positive, truth, metric)
    if compared is None or threshold == HALF:
        return None
    return DecisionRule(metric=metric, threshold=threshold, compared=compared)


def choose_balance(shares: Floats, truth: Codes) -> DecisionRule | None:
    """The rule for several classes whose mean recall is the best, if it gains beyond chance.

    Where probabilities are right, it answers the class whose probability is the largest multiple of
    its frequency, so that it costs the inverse frequency of a class to miss it.

    Args:
        shares: probabilities for rows that did not train the model, [rows, classes].
        truth: codes of the true classes, [rows].
    """
    classes = shares.shape[1]
    if not _enough(truth, classes) or not np.isfinite(shares).all():
        return None
    decided = np.zeros(len(truth), np.int64)
    folds = _dealt(truth)
    for fold in range(_FOLDS):
        held = folds == fold
        decided[held] = (shares[held] * _rarities(truth[~held], classes)).argmax(1)
    usual = shares.argmax(1) == truth
    compared = _compared(truth, usual, decided == truth, _mean_recalls)
    if compared is None:
        return None
    missed = np.repeat(_rarities(truth, classes)[:, None], classes, 1)
    np.fill_diagonal(missed, 0.0)
    return replace(rule_of_costs(missed.tolist(), "balanced_accuracy"), compared=compared)


def _enough(truth: Codes, classes: int) -> bool:
    """Whether each class that occurs can be held out, and there is something to decide."""
    counts = np.bincount(truth, minlength=classes)
    return len(truth) >= 2 * _FOLDS and (counts > 0).sum() > 1 and counts[counts > 0].min() >= 2


def _dealt(truth: Codes) -> Codes:
    """A fold for each row; each has its share of every class."""
    order = np.random.default_rng(0).permutation(len(truth))
    order = order[np.argsort(truth[order], kind="stable")]
    folds = np.empty(len(truth), np.int64)
    folds[order] = np.arange(len(truth)) % _FOLDS
    return folds


def _best(positive: Floats, truth: Codes, metric: ByThreshold) -> float:
    """The best threshold on some rows; of equally good ones the nearest to a half."""
    values, start = np.unique(-positive, return_inverse=True)
    values = -values  # descending; a cut lies after each of them, and before the first
    hits = np.bincount(start, weights=truth, minlength=len(values)).cumsum()
    rows = np.bincount(start, minlength=len(values)).cumsum()
    found = np.concatenate([[0.0], hits]), np.concatenate([[0.0], rows - hits])
    upper = np.concatenate([[1.0], values])  # the threshold is at most this, and above the next
    lower = np.concatenate([values, [0.0]])
    middle = (upper + lower) / 2
    # In so narrow a gap the middle rounds to its lower end, which would be decided otherwise.
    middle = np.where(middle > lower, middle, upper)
    cuts = np.where((lower < HALF) & (upper >= HALF), HALF, middle)
    scores = _score(metric, *found, truth.sum(), len(truth) - truth.sum())
    scores[(cuts <= 0) | (upper <= lower)] = -np.inf
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - HALF).argmin()]])


def _score(
    metric: ByThreshold, hits: Floats, alarms: Floats, positives: Floats, negatives: Floats
) -> Floats:
    """A metric of rows that are answered as positive, rightly (hits) and wrongly (alarms)."""
    if metric == "accuracy":
        return np.asarray((hits + negatives - alarms) / (positives + negatives))
    if metric == "f1":
        return np.asarray(2 * hits / np.maximum(hits + alarms + positives, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((hits / positives + (negatives - alarms) / negatives) / 2)


def _compared(
    truth: Codes, usual: Hits, decided: Hits, score: Callable[[Floats], Floats]
) -> Compared | None:
    """What rows are worth by a rule and without one; None where the gain may be chance.

    Args:
        truth: codes of the true classes, [rows].
        usual: one fact about each row without the rule.
        decided: the same fact with it.
        score: of the numbers of rows by true class and fact, [resamples, classes, 2].
    """
    classes = int(truth.max()) + 1
    cells = np.bincount(truth * 4 + usual * 2 + decided, minlength=classes * 4)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(truth), cells / len(truth), size=_RESAMPLES)
    both = np.concatenate([cells[None], drawn]).reshape(-1, classes, 2, 2).astype(np.float64)
    before, after = score(both.sum(3)), score(both.sum(2))
    gains = after - before
    if not gains[0] > np.nanstd(gains[1:]):
        return None
    return Compared(usual=float(before[0]), decided=float(after[0]), rows=len(truth))


def _of_two(cells: Floats, metric: ByThreshold) -> Floats:
    """A metric by true class and whether the positive one is answered."""
    (negatives, alarms), (missed, hits) = (cells[:, each].T for each in (0, 1))
    return _score(metric, hits, alarms, hits + missed, negatives + alarms)


def _mean_recalls(cells: Floats) -> Floats:
    """Recall averaged over the classes that occur, by true class and whether it is answered."""
    rows = cells.sum(2)
    recalls = cells[:, :, 1] / np.maximum(rows, 1)
    return np.asarray((recalls * (rows > 0)).sum(1) / (rows > 0).sum(1))


def _rarities(truth: Codes, classes: int) -> Floats:
    """The inverse frequency of each class; one that does not occur counts as one row."""
    counts = np.bincount(truth, minlength=classes)
    return np.asarray(len(truth) / np.maximum(counts, 1))
