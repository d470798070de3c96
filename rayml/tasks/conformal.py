"""Split conformal prediction: pure functions on arrays.

A score says how badly a prediction fits a truth. Rows that did not train the model give scores, and
a new row's region holds each truth whose score is not above the quantile of those at the level
that is asked for. Where rows are exchangeable, the region holds the truth with at least that
probability (Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World").
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_ROUNDING = 1e-9  # of a product that is whole in exact arithmetic
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of SplitMix64 (Steele, Lea and Flood 2014)
_STEP = 0x9E3779B97F4A7C15
_VALUES_AT_ONCE = 2**22


def rank(rows: int, level: float) -> int:
    """The place of the score that bounds a region, from 1 on; above `rows` where they are too few.

    Args:
        rows: that gave scores.
        level: probability that a region holds the truth.
    """
    return max(1, math.ceil((rows + 1) * level - _ROUNDING))


def highest_level(rows: int) -> float:
    """The highest level that so many scores support."""
    return rows / (rows + 1)


def limit(scores: Floats, level: float) -> float:
    """The score up to which a truth belongs to a region; infinite where scores are too few.

    Args:
        scores: of rows that did not train the model, in ascending order.
        level: probability that a region holds the truth.
    """
    place = rank(len(scores), level)
    return math.inf if place > len(scores) else float(scores[place - 1])


def set_scores(probabilities: Floats, draws: Floats) -> Floats:
    """Scores of adaptive prediction sets for every class (Romano, Sesia and Candès 2020).

    A class has the probability of all likelier ones, and a drawn share of its own. Without that
    share a set could only grow by whole classes, and would hold the truth too often.

    Args:
        probabilities: [rows, classes].
        draws: a number within [0, 1) for each row, which does not depend on its class.

    Returns:
        [rows, classes]; of equally likely classes the first counts as the likelier one.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, before + draws[:, None] * ordered, axis=1)
    return scores


def draws(numeric: npt.NDArray[np.float32], codes: Codes) -> Floats:
    """A number within [0, 1) for each row, which its content decides and nothing else.

    Equal rows have equal numbers, in every batch, process and machine. As a function of the row
    alone it leaves rows exchangeable.

    Args:
        numeric: prepared numbers, [rows, columns].
        codes: prepared categories, [rows, columns].
    """
    columns = numeric.shape[1] + codes.shape[1]
    places = np.arange(1, columns + 1, dtype=np.uint64) * np.uint64(_STEP)
    total = np.empty(len(numeric), np.uint64)
    step = max(1, _VALUES_AT_ONCE // max(1, columns))
    for start in range(0, len(numeric), step):
        part = slice(start, start + step)
        # Adding 0 makes -0 the same as 0.
        bits = np.ascontiguousarray(numeric[part] + np.float32(0)).view(np.uint32)
        values = np.concatenate([bits, codes[part]], axis=1, dtype=np.uint64, casting="unsafe")
        # A sum of mixed values, so that equal values of two columns do not cancel out.
        total[part] = _mixed(values + places).sum(axis=1, dtype=np.uint64)
    whole = _mixed(total + np.uint64(_STEP)) >> np.uint64(11)
    return whole.astype(np.float64) * 2.0**-53


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64, on uint64 that wrap around."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MIX[0])
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_MIX[1])
    mixed: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
