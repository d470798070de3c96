"""Gives rows their places in the order of prepared rows, by their split and content."""

from __future__ import annotations

from math import ceil

import pyarrow as pa

from rayml.data.columns.origin import ORDER
from rayml.data.columns.schema import FeatureSchema
from rayml.data.prepare.blocks import Count, Place, Sort, Tally, split_start
from rayml.data.prepare.passes import (
    HeldRows,
    Rows,
    collect,
    collect_by_number,
    each,
    each_by_number,
)
from rayml.data.rows.coerce import Coercer
from rayml.data.rows.quarantine import BadRows
from rayml.data.split.split import SplitPlan, Splitter
from rayml.data.split.thresholds import SplitCounts

# Values that fit a block of 128 MiB. Up to here the rows are sorted in one task, which takes
# tenths of a second; a shuffle takes seconds.
_BLOCK_VALUES = 2**24


def counted(raw: Rows, count: Count) -> tuple[int, SplitCounts, BadRows]:
    """The number of rows, the counts for the split, and the bad rows."""
    rows, counts, bad = 0, SplitCounts(), BadRows()
    for part in collect(raw, count):
        for more, keys, wrong in Count.read(part):
            rows, counts, bad = rows + more, counts.merge(keys), bad.merge(wrong)
    return rows, counts, bad


def placed_rows(
    raw: Rows, coerce: Coercer, splitter: Splitter, counts: SplitCounts, seed: int
) -> tuple[SplitPlan, Rows]:
    """The plan of the split, and rows with their places by it."""
    ranges = splitter.ranges(counts)
    if not ranges:
        plan = splitter.plan(counts)
        return plan, each(raw, Place(coerce, plan, seed))
    tallies = collect_by_number(raw, Tally(coerce, splitter, ranges))
    plan = splitter.plan(counts, list(tallies.values()))
    plans = dict(zip(tallies, plan.by_block(list(tallies.values())), strict=True))
    return plan, each_by_number(raw, lambda at: Place(coerce, plans[at], seed), list(plans))


def sorted_rows(placed: Rows, plan: SplitPlan, schema: FeatureSchema) -> Rows:
    """Sort rows by their places; the ranges of blocks depend on the number of rows alone."""
    if isinstance(placed, HeldRows):
        return each(HeldRows([pa.concat_tables(placed.tables)]), Sort())
    values = [rows * len(schema.read()) for rows in plan.sizes]
    if sum(values) <= _BLOCK_VALUES:
        return each(placed.repartition(1), Sort()).materialize()
    boundaries = [
        split_start(split, part / parts)
        for split, parts in enumerate(ceil(value / _BLOCK_VALUES) for value in values)
        for part in range(parts)
    ]
    return placed.sort(ORDER, boundaries=boundaries[1:]).materialize()
