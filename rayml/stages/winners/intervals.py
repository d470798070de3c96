"""Calibrates the regions of a winner on validation rows, and measures them on test rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch

from rayml.data.fit.group_column import GroupColumn
from rayml.registry.bundle.intervals import MOST_GROUPS, GroupScores, Intervals
from rayml.serve.predict.answer import Estimate, of_members, scalable
from rayml.settings.search import IntervalSettings
from rayml.tasks.conformal import Floats, draws, limit, rank
from rayml.tasks.regions import MeasuredLevel, Predicted
from rayml.types import Examples, Features

if TYPE_CHECKING:
    from rayml.data.fit.preprocess import Preprocessor
    from rayml.models.estimators.members import Committee
    from rayml.tasks.task import Task

LEVELS: Final = (0.8, 0.9, 0.95)
"""Whose coverage is measured on the test split."""

GROUP_ROWS: Final = 50
"""A group with fewer rows is served by the scores of all: its own would support few levels."""

_TEST_ROWS = 50_000
_FOLDS = 5
_COMPARED = 0.9


def fit_intervals(
    outputs: torch.Tensor,
    task: Task,
    preprocessor: Preprocessor,
    rows: Examples,
    settings: IntervalSettings,
    temperature: float = 1.0,
) -> Intervals | None:
    """Calibrate regions on validation rows.

    Args:
        outputs: of each vote of the models that are served together, [votes, rows, outputs]; rows
            that trained models have those of others.
        task: of the outputs.
        preprocessor: of the rows.
        rows: that are predicted.
        settings: of the calibration.
        temperature: of the predictions.

    Returns:
        None where a prediction is not finite.

    Raises:
        DataError: rows cannot be grouped by the column.
    """
    predicted, spread = _predicted(outputs, task, rows.features, temperature)
    truth = task.truth(torch.from_numpy(rows.target))
    if not torch.isfinite(predicted.predictions).all():
        return None
    offset = _offset(task, predicted, spread, truth)
    scores = task.misfits(_scaled(predicted, spread, offset), truth)
    found = Intervals(scores=_sorted(scores), offset=offset)
    if settings.group is None:
        return found
    column = GroupColumn(preprocessor, settings.group)
    places = column.places(rows.features)
    counts = np.bincount(places[places >= 0], minlength=len(column.values))
    # The largest ones, where there are more than a bundle holds.
    kept = sorted(np.argsort(-counts, kind="stable")[:MOST_GROUPS].tolist())
    own = [at for at in kept if counts[at] >= GROUP_ROWS]
    return replace(
        found,
        group=column.name,
        groups=tuple(
            GroupScores(value=column.values[at], scores=_sorted(scores[places == at])) for at in own
        ),
        pooled=tuple(column.values[at] for at in kept if at not in own),
    )


def measured(
    found: Intervals, models: Committee, task: Task, preprocessor: Preprocessor, test: Examples
) -> Intervals:
    """The same with the coverage and the size of its regions on test rows."""
    rows = some_rows(test, _TEST_ROWS)
    predicted, spread = _predicted(
        models.outputs(rows.features), task, rows.features, models.temperature
    )
    predicted = _scaled(predicted, spread, found.offset)
    truth = task.truth(torch.from_numpy(rows.target))
    groups = None
    if found.group is not None:
        column = GroupColumn(preprocessor, found.group)
        groups = found.places(column.values)[column.places(rows.features)]
    levels = []
    for level in filter(found.supports, LEVELS):
        limits, _ = found.limits(groups, np.full(len(rows), level))
        regions = task.regions(predicted, limits)
        levels.append(
            MeasuredLevel(
                level=level,
                coverage=float(task.covers(regions, truth).mean()),
                size=float(task.region_sizes(regions).mean()),
                rows=len(rows),
            )
        )
    return replace(found, measured=tuple(levels))


def some_rows(examples: Examples, most: int) -> Examples:
    """So many rows at most, drawn at random; the same ones each time."""
    return examples if len(examples) <= most else examples.rows(some_places(len(examples), most))


def some_places(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Places of so many of some rows at most, ascending."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False)).astype(np.int64)


def _predicted(
    outputs: torch.Tensor, task: Task, features: Features, temperature: float
) -> tuple[Predicted, Floats | None]:
    """Predictions, and the members' spread where there are several."""
    with torch.inference_mode():
        predictions = task.predict(scalable(outputs, temperature))
        if len(predictions) > 1:
            estimate = of_members(predictions, task, temperature=temperature)
        else:
            estimate = Estimate(task.tempered(predictions[0], temperature))
    mean = estimate.prediction
    spread = None if estimate.spread is None else estimate.spread.double().numpy()
    return Predicted(mean, None, draws(features.numeric, features.categorical)), spread


def _scaled(predicted: Predicted, spread: Floats | None, offset: float | None) -> Predicted:
    if offset is None or spread is None:
        return predicted
    return replace(predicted, scale=spread + offset)


def _offset(
    task: Task, predicted: Predicted, spread: Floats | None, truth: torch.Tensor
) -> float | None:
    """What is added to an ensemble's spread, where regions of that scale are smaller on average.

    Sizes are compared on rows that did not set the limits, at one level.
    """
    if spread is None or not task.takes_scale or len(spread) < 2 * _FOLDS:
        return None
    offset = float(np.median(spread))
    if not np.isfinite(offset) or offset <= 0:
        return None
    plain, scaled = (
        _mean_size(task, _scaled(predicted, spread, each), truth) for each in (None, offset)
    )
    return offset if scaled < plain else None


def _mean_size(task: Task, predicted: Predicted, truth: torch.Tensor) -> float:
    rows = len(truth)
    fold = np.random.default_rng(0).permutation(rows) % _FOLDS
    scores = task.misfits(predicted, truth)
    limits = np.empty(rows)
    for each in range(_FOLDS):
        others = np.sort(scores[fold != each])
        level = _COMPARED if rank(len(others), _COMPARED) <= len(others) else 0.5
        limits[fold == each] = limit(others, level)
    return float(task.region_sizes(task.regions(predicted, limits)).mean())


def _sorted(scores: Floats) -> tuple[float, ...]:
    return tuple(np.sort(scores).tolist())
