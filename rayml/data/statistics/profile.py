"""The training profile of raw columns, which later data are compared with."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from rayml.data.columns.keys import Floats
from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics
from rayml.settings.data import PreprocessSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LEVELS = np.linspace(0.0, 1.0, 21)


def profile_columns(
    schema: FeatureSchema, statistics: Statistics, settings: PreprocessSettings
) -> dict[str, Any]:
    """Describe the features and the target on the training split, as a value of JSON.

    Columns whose values are hidden have count and missing. Other numbers have count, missing, mean,
    standard deviation, range, quantiles in steps of 5 % and a histogram between them. Times count
    as days since 1970; of texts the numbers of tokens do, and there is no example. Categories and
    truth values have count, missing, and the counts of the frequent categories; the others together
    are `other`.
    """
    columns = [*schema.columns, Column(schema.target, schema.target_kind)]
    profile: dict[str, Any] = {}
    for column in columns:
        if column.name in schema.hidden:
            described = _hidden(column.name, statistics)
        elif column.name in statistics.numeric:
            described = _numeric(statistics.numeric[column.name], column.kind == "timestamp")
            if column.kind == "text":
                described["example"] = None
        else:
            limit = settings.max_categories
            described = _categories(statistics.categories[column.name], limit, column.kind)
        profile[column.name] = {"kind": column.kind, **described}
    return profile


def _hidden(name: str, statistics: Statistics) -> dict[str, Any]:
    found = statistics.numeric.get(name) or statistics.categories[name]
    return {"count": found.count, "missing": found.missing, "example": None}


def _numeric(column: NumericStatistics, times: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"count": column.count, "missing": column.missing, "example": None}
    if not column.count:
        return described
    quantiles = column.quantiles(_LEVELS)
    edges = np.unique(quantiles)
    median = float(quantiles[len(quantiles) // 2])
    return {
        **described,
        "mean": _finite(column.mean),
        "deviation": _finite(column.deviation),
        "minimum": column.minimum,
        "maximum": column.maximum,
        "quantiles": quantiles.tolist(),
        "histogram": {"edges": edges.tolist(), "counts": _histogram(column, edges)},
        "example": _time(median) if times else median,
    }


def _histogram(column: NumericStatistics, edges: Floats) -> list[int]:
    """Counts in [edge, next edge), the last one closed."""
    parts = max(len(edges) - 1, 1)
    place = np.clip(np.searchsorted(edges, column.values(), side="right") - 1, 0, parts - 1)
    counts = np.bincount(place, weights=column.sketch.counts, minlength=parts)
    return [int(count) for count in counts]


def _categories(column: CategoryStatistics, limit: int, kind: str) -> dict[str, Any]:
    ranked = column.ranked()
    kept = dict(ranked[:limit])
    example: str | bool | None = ranked[0][0] if ranked else None
    return {
        "count": column.count,
        "missing": column.missing,
        "categories": kept,
        "other": column.count - sum(kept.values()),
        "example": example == "true" if kind == "boolean" and ranked else example,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _time(days: float) -> str:
    # Rounding may exceed the last second of Python's times.
    seconds = min(math.floor(days * 86_400), _LAST_SECOND)
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()
