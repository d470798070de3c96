"""A sample of the rows of a Ray dataset, in bounded memory."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rayml.data.columns.origin import FILE, KEY, LINE, MALFORMED
from rayml.data.prepare.blocks import Sample
from rayml.data.prepare.passes import HeldRows, Rows, collect
from rayml.errors import DataError


def sample_rows(dataset: Rows, rows: int) -> pa.Table:
    """Take the rows with the smallest hashes, without malformed ones.

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
    # A column of a block may have the null type, if all its values are missing.
    return pa.concat_tables([one, other], promote_options="permissive")


def _no_rows(dataset: Rows) -> DataError:
    remedy = "Check its path, query and format"
    for row in _first(dataset):  # it is malformed, as are all others
        where = f"{row[FILE]} line {row[LINE]}: " if row.get(FILE) else ""
        return DataError(
            f"no row of the source can be read; the first is malformed ({where}{row[MALFORMED]})",
            remedy=remedy,
        )
    return DataError("the source has no rows", remedy=remedy)


def _first(rows: Rows) -> list[dict[str, Any]]:
    if not isinstance(rows, HeldRows):
        found: list[dict[str, Any]] = rows.take(1)
        return found
    return [row for table in rows.tables for row in table.slice(0, 1).to_pylist()][:1]
