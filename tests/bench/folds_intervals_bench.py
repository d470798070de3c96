"""Intervals of models of folds: those that a bundle gives beside CV+, on rows of no training.

A bundle answers by the mean of its folds' models, and puts the quantile of the errors on held-out
rows on either side. CV+ (Barber, Candès, Ramdas and Tibshirani 2021, "Predictive inference with the
jackknife+") takes quantiles of each fold's prediction less and plus the errors of its rows; its
`minmax` puts the quantile outside of all folds' predictions.

    python -m tests.bench.folds_intervals_bench [splits]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from rayml.tasks.conformal import limit

Floats = npt.NDArray[np.float64]
Ends = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator], tuple[Floats, Floats]]

FOLDS, LEVEL, NEW = 5, 0.9, 20


def ends(predicted: Floats, errors: Floats, fold: npt.NDArray[np.int64]) -> Mapping[str, Ends]:
    """Ends of the intervals of each method.

    Args:
        predicted: by the models of the folds for new rows, [folds, rows].
        errors: of held-out rows, absolute, [held out].
        fold: that held each of them out, [held out].
    """
    reach, center = limit(np.sort(errors), LEVEL), predicted.mean(0)
    above = np.sort(predicted[fold] + errors[:, None], 0)
    below = np.sort(errors[:, None] - predicted[fold], 0)
    place = min(len(errors), int(np.ceil((len(errors) + 1) * LEVEL))) - 1
    return {
        "served": (center - reach, center + reach),
        "CV+": (-below[place], above[place]),
        "minmax": (predicted.min(0) - reach, predicted.max(0) + reach),
    }


def study(make: Callable[[], Any], draw: Draw, splits: int) -> str:
    """Coverage and width over many splits, one line a method."""
    coverage: dict[str, list[float]] = {}
    width: dict[str, list[float]] = {}
    for seed in range(splits):
        rng = np.random.default_rng(seed)
        rows, target = draw(rng)
        new, truth, rows, target = rows[:NEW], target[:NEW], rows[NEW:], target[NEW:]
        fold = rng.permutation(len(target)) % FOLDS
        errors, predicted = np.empty(len(target)), np.empty((FOLDS, NEW))
        for each in range(FOLDS):
            held = fold == each
            model = make().fit(rows[~held], target[~held])
            errors[held] = np.abs(target[held] - model.predict(rows[held]))
            predicted[each] = model.predict(new)
        for name, (low, high) in ends(predicted, errors, fold).items():
            coverage.setdefault(name, []).append(float(((low <= truth) & (truth <= high)).mean()))
            width.setdefault(name, []).append(float((high - low).mean()))
    unit = np.mean(width["served"])
    return "; ".join(
        f"{name} holds {np.mean(found):.4f} ± {np.std(found) / splits**0.5:.4f},"
        f" width {np.mean(width[name]) / unit:.3f}"
        for name, found in coverage.items()
    )


def of_diabetes(count: int) -> Draw:
    rows, target = load_diabetes(return_X_y=True)

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
        chosen = rng.permutation(len(target))[: count + NEW]
        return rows[chosen], target[chosen]

    return draw


def linear(count: int, numbers: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
        rows = rng.normal(size=(count + NEW, numbers))
        return rows, rows.sum(1) * 3 / numbers**0.5 + rng.normal(size=len(rows))

    return draw


def main() -> None:
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    cases: list[tuple[str, Callable[[], Any], Draw]] = [
        ("ridge, 100 rows of diabetes", lambda: Ridge(0.1), of_diabetes(100)),
        ("deep tree, 100", lambda: DecisionTreeRegressor(random_state=0), of_diabetes(100)),
        ("deep tree, 400", lambda: DecisionTreeRegressor(random_state=0), of_diabetes(400)),
        ("1 neighbour, 200 of 5 numbers", lambda: KNeighborsRegressor(1), linear(200, 5)),
        ("least squares, 100 of 40", lambda: Ridge(1e-9), linear(100, 40)),
        ("least squares, 100 of 80", lambda: Ridge(1e-9), linear(100, 80)),
    ]
    for name, make, draw in cases:
        print(f"{name}: {study(make, draw, splits)}", flush=True)
    rng = np.random.default_rng(0)
    errors, fold = rng.exponential(size=10_000), rng.integers(0, FOLDS, 10_000)
    predicted, start = rng.normal(size=FOLDS), time.perf_counter()
    for _ in range(200):
        np.partition(predicted[fold] - errors, 999)
        np.partition(predicted[fold] + errors, 9000)
    print(f"CV+ of a row, 10,000 errors: {(time.perf_counter() - start) / 200 * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
