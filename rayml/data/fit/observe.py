"""Aggregates typed tables to statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.schema import Column, FeatureSchema
from rayml.data.fit.column_transforms import days
from rayml.data.fit.text_columns import part_names
from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics
from rayml.data.statistics.statistics import Statistics
from rayml.data.statistics.target import label_text
from rayml.data.text.reader import TextReader
from rayml.tasks.table import task_type
from rayml.types import TaskName


def observe(
    table: pa.Table,
    schema: FeatureSchema,
    task: TaskName,
    texts: Mapping[str, TextReader] = MappingProxyType({}),
) -> Statistics:
    """Aggregate the features and the target of typed rows.

    Of a column of texts there are statistics of the number of tokens by its name, and of each
    number of its vectors by the names of `part_names`.

    Args:
        table: of the rows.
        schema: of the rows.
        task: what is predicted.
        texts: readers of the columns of texts.
    """
    features = _observe(table, schema.columns, texts)
    return features.merge(observe_target(table, schema, task))


def observe_target(table: pa.Table, schema: FeatureSchema, task: TaskName) -> Statistics:
    """Aggregate the target alone: as labels where the task has classes, else as numbers."""
    values = table.column(schema.target)
    if not task_type(task).has_classes:
        return Statistics(numeric={schema.target: NumericStatistics.of(values.to_numpy())})
    return Statistics(categories={schema.target: CategoryStatistics.of(label_text(values))})


def _observe(
    table: pa.Table, columns: Iterable[Column], texts: Mapping[str, TextReader]
) -> Statistics:
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
            case "text":
                reader = texts[column.name]
                found = reader.read_column(values)
                numeric[column.name] = NumericStatistics.of(found.tokens)
                for name, part in zip(
                    part_names(column.name, reader), found.numbers.T, strict=True
                ):
                    numeric[name] = NumericStatistics.of(part)
    return Statistics(numeric, categories)
