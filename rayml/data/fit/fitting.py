"""Fits the transform of each column to its statistics on the training split."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.column_transforms import (
    FLOAT32_LIMIT,
    HUGE,
    STANDARD_LIMIT,
    AffineColumn,
    CategoricalColumn,
    NumericColumn,
    QuantileColumn,
    TimestampColumn,
)
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics
from rayml.data.statistics.target import sorted_labels
from rayml.errors import DataError
from rayml.settings.data import PreprocessSettings
from rayml.tasks.table import task_type
from rayml.tasks.task import Observed
from rayml.types import ClassLabel, Kind, TargetInfo, TaskName


def fit_target(
    schema: FeatureSchema, statistics: Statistics, task: TaskName, positive: ClassLabel | None
) -> TargetInfo:
    """Fit the target by its task.

    Raises:
        DataError: the target does not suit the task.
    """
    name = schema.target
    kind = task_type(task)
    if kind.has_classes:
        texts = list(statistics.categories[name].counts)
        observed = Observed(classes=sorted_labels(name, schema.target_kind, texts))
    else:
        found = statistics.numeric[name]
        observed = Observed((), found.mean, found.deviation, found.minimum, found.maximum)
    return kind.fit(name, observed, positive)


def fit_numeric(
    name: str, kind: Kind, statistics: Statistics, settings: PreprocessSettings
) -> NumericColumn:
    """Fit a numeric or boolean column.

    Raises:
        DataError: the column's numbers are too large to standardise.
    """
    if kind == "boolean":
        counts = statistics.categories[name]
        share = counts.counts.get("true", 0) / counts.count if counts.count else 0.0
        return AffineColumn(name, 0.0, 1.0, fill=share, limit=FLOAT32_LIMIT)
    column = statistics.numeric[name]
    match settings.numeric:
        case "standard":
            return _standard(name, column)
        case "quantile":
            return _quantile(name, column, settings.quantiles)
        case "none":
            return AffineColumn(name, 0.0, 1.0, fill=_fill(column.mean), limit=FLOAT32_LIMIT)


def fit_timestamp(name: str, statistics: NumericStatistics) -> TimestampColumn:
    """Fit a column of times to statistics of their day numbers."""
    return TimestampColumn(name, _standard(name, statistics))


def fit_categorical(
    name: str, statistics: CategoryStatistics, settings: PreprocessSettings
) -> CategoricalColumn:
    """Fit a column of categories: the frequent ones first, equally frequent ones by name."""
    ranked = statistics.ranked()[: settings.max_categories]
    kept = tuple(category for category, count in ranked if count >= settings.min_count)
    return CategoricalColumn(name, kept, missing=statistics.missing > 0)


def _standard(name: str, column: NumericStatistics) -> AffineColumn:
    scale = column.deviation
    if not (math.isfinite(scale) and math.isfinite(column.mean)):
        raise DataError(
            f"column {name!r} has numbers too large to square, from {column.minimum:g} to"
            f" {column.maximum:g}",
            remedy="Set data.preprocess.numeric=quantile, or list the column in data.schema.ignore",
        )
    return AffineColumn(name, column.mean, scale, fill=0.0, limit=STANDARD_LIMIT)


def _quantile(name: str, column: NumericStatistics, quantiles: int) -> QuantileColumn:
    if not column.count:
        return QuantileColumn(name, (), ())
    # Levels in the middle of equal parts, so that extremes give no outliers of the output.
    levels = (np.arange(quantiles) + 0.5) / quantiles
    points, first, repeats = np.unique(
        np.clip(column.quantiles(levels), -HUGE, HUGE), return_index=True, return_counts=True
    )
    # A value of many rows fills several levels; its output is that of their middle.
    middles = levels[first] + (repeats - 1) / (2 * quantiles)
    normal = NormalDist()
    scores = tuple(normal.inv_cdf(float(level)) for level in middles)
    return QuantileColumn(name, tuple(points.tolist()), scores)


def _fill(mean: float) -> float:
    return min(max(mean, -FLOAT32_LIMIT), FLOAT32_LIMIT)
