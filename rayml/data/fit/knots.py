"""Quantiles of features on the training split, from which models make the edges of bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rayml.data.fit.column_transforms import NumericColumn, TimestampColumn
from rayml.data.fit.text_columns import TextColumn
from rayml.data.statistics.moments import NumericStatistics
from rayml.types import MOST_BINS

Knots = tuple[tuple[float, ...], ...]
"""By feature its quantiles at equal steps; of a feature of one value none, or equal ones."""

MOST_FEATURES = 1000
"""Numeric features whose quantiles are kept; of more they would fill the preprocessor's file."""

_LEVELS = np.linspace(0.0, 1.0, MOST_BINS + 1)
_TRUTH = (0.0, 1.0)
# Of the sine of an angle that is as often in each direction.
_CIRCLE = tuple(np.sin(np.linspace(-np.pi / 2, np.pi / 2, 33)).tolist())


def fit_knots(
    numeric: Sequence[NumericColumn],
    timestamps: Sequence[TimestampColumn],
    texts: Sequence[TextColumn],
    indicators: int,
    statistics: Mapping[str, NumericStatistics],
) -> Knots:
    """Fit the quantiles of each numeric feature, in the order of the features.

    Args:
        numeric: transforms of numeric and boolean columns.
        timestamps: transforms of times.
        texts: transforms of texts.
        indicators: number of features that say that a value is missing.
        statistics: of the numeric columns and the times; a truth value has none.

    Returns:
        Nothing for more than `MOST_FEATURES` features.
    """
    times = sum(len(time.PARTS) for time in timestamps)
    numbers = [number for text in texts for number in text.numbers]
    if len(numeric) + times + len(numbers) + indicators > MOST_FEATURES:
        return ()
    found = [
        _of_column(column, statistics[column.name]) if column.name in statistics else _TRUTH
        for column in numeric
    ]
    for time in timestamps:
        circles = [_CIRCLE for part in time.PARTS if part != "day"]
        found += [*circles, _of_column(time.day, statistics[time.name])]
    found += [_of_column(column, statistics[column.name]) for column in numbers]
    return (*found, *[_TRUTH] * indicators)


def _of_column(column: NumericColumn, statistics: NumericStatistics) -> tuple[float, ...]:
    if not statistics.count:
        return ()
    outputs = column.apply(statistics.quantiles(_LEVELS))
    # The shortest texts that are these floats again, since they are stored as such.
    return tuple(float(str(each)) for each in outputs.astype(np.float32))
