"""Small learnable splits, for contract tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rayml.tasks.table import build_task
from rayml.tasks.task import Task
from rayml.types import Examples, Features, FeatureShape, TargetInfo, TaskName

TARGETS: Mapping[TaskName, TargetInfo] = {
    each.task: each
    for each in (
        TargetInfo("y", "binary", ("no", "yes")),
        TargetInfo("y", "multiclass", ("a", "b", "c")),
        TargetInfo("y", "regression", (), 5.0, 2.0),
    )
}


def task_of(name: TaskName) -> Task:
    """A task of that kind, with its usual metric."""
    return build_task(TARGETS[name])


def learnable(name: TaskName, shape: FeatureShape, rows: int, seed: int) -> Examples:
    """Rows whose target follows from the first number and the first code, up to some noise.

    Where the shape has columns that say that a value is missing, a fifth of the values are.

    Args:
        name: of the task.
        shape: of the features.
        rows: number of rows.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed)
    numeric = draw.normal(size=(rows, shape.numeric)).astype(np.float32)
    codes = [draw.integers(0, size, rows) for size in shape.cardinalities]
    categorical = np.stack(codes, 1) if codes else np.zeros((rows, 0))
    score = numeric[:, 0] + draw.normal(scale=0.2, size=rows)
    if codes:
        score = score + 2.0 * (codes[0] % 2) - 1.0
    target: npt.NDArray[Any] = (score / 1.5).astype(np.float32)
    if count := len(TARGETS[name].classes):
        # Of two classes at 0, of more in equal parts of the scores.
        edges = np.linspace(-1.4, 1.4, count + 1)[1:-1]
        target = np.digitize(score, edges).astype(np.int64)
    _make_missing(numeric, shape, draw)
    return Examples(Features(numeric, categorical.astype(np.int64)), target)


def _make_missing(
    numeric: npt.NDArray[np.float32], shape: FeatureShape, draw: np.random.Generator
) -> None:
    """Put 0, the mean, in the place of some values, and say so in the columns that do."""
    for mark in sorted(set(shape.missing) - {-1}):
        gone = draw.random(len(numeric)) < 0.2
        numeric[:, mark] = gone
        for column in np.flatnonzero(np.array(shape.missing) == mark):
            numeric[gone, column] = 0
