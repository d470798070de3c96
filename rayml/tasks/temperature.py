"""Temperature scaling: calibrates the probabilities of a classifier.

Guo, Pleiss, Sun and Weinberger 2017, "On Calibration of Modern Neural Networks". Log-probabilities
are divided by a temperature, which keeps their order, so that no label changes.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST: Final = 0.1
MOST: Final = 10.0
"""A model that is off by more is not mended by a temperature."""

_PRIOR_ROWS = 50.0  # that say the model is right, so that a few lucky rows do not make it sure
_FOLDS = 5
_STEPS = 60  # of the golden section, each of which takes a third off: far below a digit
_RATIO = (math.sqrt(5) - 1) / 2
_LEAST_SHARE = float(np.finfo(np.float32).eps)  # as `log_loss` clamps


def fit_temperature(probabilities: Floats, codes: npt.NDArray[np.int64]) -> float:
    """The temperature that probabilities need, or 1 where none does better on other rows.

    It is cross-validated: temperatures of four fifths of the rows must lower the log loss of the
    others, by more than a standard error over the rows, and the one of all rows must not raise
    theirs: a temperature below 1 that few rows gain little by makes a wrong answer sure. Beside the
    rows stand 50 whose classes are as the model says: a model that has every one of few rows right
    is not sure.

    Args:
        probabilities: for rows that did not train the model, [rows, classes].
        codes: of the true classes, [rows].
    """
    rows = len(codes)
    if rows < 2 * _FOLDS or not np.isfinite(probabilities).all():
        return 1.0
    logs = np.log(np.clip(probabilities, _LEAST_SHARE, 1.0))
    folds = np.random.default_rng(0).permutation(rows) % _FOLDS
    gains = np.zeros(rows)
    for fold in range(_FOLDS):
        held = folds == fold
        found = _best(logs[~held], codes[~held])
        plain, scaled = (_losses(logs[held], codes[held], each) for each in (1.0, found))
        gains[held] = plain - scaled
    best = _best(logs, codes)
    beyond_chance = gains.mean() > gains.std() / math.sqrt(rows)
    if not beyond_chance or not _loss(logs, codes, best) < _loss(logs, codes, 1.0):
        return 1.0
    return best


def _loss(logs: Floats, codes: npt.NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of scaled probabilities."""
    return float(_losses(logs, codes, temperature).mean())


def _losses(logs: Floats, codes: npt.NDArray[np.int64], temperature: float) -> Floats:
    """Negative log-likelihoods of scaled probabilities, [rows]."""
    scaled = logs / temperature
    top = scaled.max(axis=1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    losses: Floats = total - scaled[np.arange(len(codes)), codes]
    return losses


def _best(logs: Floats, codes: npt.NDArray[np.int64]) -> float:
    """By golden section over the inverse, in which the loss is convex."""
    weight = _PRIOR_ROWS / (_PRIOR_ROWS + len(codes))
    predicted = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)

    def loss(inverse: float) -> float:
        scaled = logs * inverse
        total = np.log(np.exp(scaled).sum(axis=1))
        expected = total - (predicted * scaled).sum(axis=1)
        return (1 - weight) * _loss(logs, codes, 1 / inverse) + weight * float(expected.mean())

    low, high = 1 / MOST, 1 / LEAST
    one, other = high - _RATIO * (high - low), low + _RATIO * (high - low)
    at_one, at_other = loss(one), loss(other)
    for _ in range(_STEPS):
        if at_one <= at_other:
            high, other, at_other = other, one, at_one
            one = high - _RATIO * (high - low)
            at_one = loss(one)
        else:
            low, one, at_one = one, other, at_other
            other = low + _RATIO * (high - low)
            at_other = loss(other)
    return 2 / (low + high)
