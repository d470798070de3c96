"""Aggregates typed tables to statistics."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.fit.column_transforms import days
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics
from rayml.data.statistics.target import label_text
from rayml.tasks.table import task_type
from rayml.types import TaskName


def observe(table: pa.Table, schema: FeatureSchema, task: TaskName) -> Statistics:
    """Aggregate the features and the target of typed rows."""
    features = _observe(table, schema.columns)
    return features.merge(observe_target(table, schema, task))


def observe_target(table: pa.Table, schema: FeatureSchema, task: TaskName) -> Statistics:
    """Aggregate the target alone: as labels where the task has classes, else as numbers."""
    values = table.column(schema.target)
    if not task_type(task).has_classes:
        return Statistics(numeric={schema.target: NumericStatistics.of(values.to_numpy())})
    return Statistics(categories={schema.target: CategoryStatistics.of(label_text(values))})


def _observe(table: pa.Table, columns: Iterable[Column]) -> Statistics:
    numeric, categories = {}, {}
    for column in columns:
        values = table.column(column.name)
        match column.kind:
            case "numeric":
                numeric[column.name] = NumericStatistics.of(values.to_numpy())
            case "timestamp":
                numeric[column.name] = NumericStatistics.of(days(values))
            case "boolean":
                text = pc.cast(values, pa.string())
                categories[column.name] = CategoryStatistics.of(text)
            case "categorical":
                categories[column.name] = CategoryStatistics.of(values)
    return Statistics(numeric, categories)
