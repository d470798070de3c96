"""A sample of the rows of a Ray dataset, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.data.blocks import Sample
from rayml.data.origin import FILE, KEY, LINE, MALFORMED
from rayml.data.passes import collect
from rayml.errors import DataError

if TYPE_CHECKING:
    from ray.data import Dataset


def sample_rows(dataset: Dataset, rows: int) -> pa.Table:
    """Take the rows with the smallest hashes, malformed ones left out.

    Args:
        dataset: raw rows of a source.
        rows: number of rows at most.

    Returns:
        The table's own columns, without those of `origin.RESERVED`.

    Raises:
        DataError: there are no rows, or only malformed ones.
    """
    sample = Sample(rows)
    found: pa.Table | None = None
    for part in collect(dataset, sample):
        found = part if found is None else sample.smallest(_concatenated(found, part))
    if found is None or not found.num_rows:
        raise _no_rows(dataset)
    return found.drop_columns([KEY])


def _concatenated(one: pa.Table, other: pa.Table) -> pa.Table:
    # A block whose values are all missing may have the null type.
    return pa.concat_tables([one, other], promote_options="permissive")


def _no_rows(dataset: Dataset) -> DataError:
    rule, remedy = "a source has rows that can be read", "Check its path, query and format"
    for row in dataset.take(1):  # it is malformed, as are all others
        where = f"{row[FILE]} line {row[LINE]}: " if row.get(FILE) else ""
        return DataError(rule, value=f"{where}{row[MALFORMED]}", remedy=remedy)
    return DataError(rule, remedy=remedy)
