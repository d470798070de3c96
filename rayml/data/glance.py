"""A first look at a dataset: a few rows prepared in this process, to find errors early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.data.coerce import Coercer
from rayml.data.inference import infer_schema
from rayml.data.observe import observe
from rayml.data.origin import RESERVED
from rayml.data.passes import own_errors
from rayml.data.preprocess import Preprocessor
from rayml.data.split import column_of
from rayml.data.target import check_task
from rayml.errors import DataError
from rayml.types import (
    ClassLabel,
    Examples,
    PreprocessSettings,
    SchemaSettings,
    SplitSettings,
    TaskName,
)

if TYPE_CHECKING:
    from rayml.data.sources import Source


@dataclass(frozen=True)
class Glance:
    """The first rows of a dataset, prepared as far as they tell.

    Attributes:
        preprocessor: fitted on these rows alone.
        examples: these rows.
    """

    preprocessor: Preprocessor
    examples: Examples


def glance(
    source: Source,
    *,
    target: str,
    task: TaskName,
    schema: SchemaSettings,
    split: SplitSettings,
    preprocess: PreprocessSettings,
    positive: ClassLabel | None = None,
    rows: int = 1000,
) -> Glance:
    """Prepare the first rows of a source; bad ones among them are left to `prepare`.

    Args:
        source: of the rows.
        target: the column that is predicted.
        task: what is predicted.
        schema: what the user says of the columns.
        split: names a column where its method reads one.
        preprocess: how features are prepared.
        positive: label of the positive class of a binary task.
        rows: number of rows at most.

    Raises:
        SourceError: the source cannot be read.
        SchemaError: the settings name columns that are not there, or kinds that do not fit.
        DataError: there are no rows, or the target does not suit the task.
    """
    raw = _head(source, rows)
    named = (column_of(split),) if split.method in ("given", "group", "time") else ()
    found = infer_schema(
        raw.drop_columns([name for name in RESERVED if name in raw.column_names]),
        target=target,
        settings=schema,
        reserved=() if split.method == "time" else named,
        carry=named if split.method == "time" else (),
    )
    check_task(target, found.target_kind, task)
    typed, _ = Coercer(found, required=(target,))(raw)
    fitted = Preprocessor.fit(found, observe(typed, found, task), preprocess, task, positive)
    features = fitted.transform_batch(typed)
    return Glance(fitted, Examples(features, fitted.encode_target(typed.column(target))))


def _head(source: Source, rows: int) -> pa.Table:
    with own_errors():
        batches = source.read().limit(rows).iter_batches(batch_size=None, batch_format="pyarrow")
        tables = [table for table in batches if table.num_rows]
    if not tables:
        raise DataError("a source has rows that can be read", remedy="Check its path and query")
    return pa.concat_tables(tables, promote_options="permissive")
