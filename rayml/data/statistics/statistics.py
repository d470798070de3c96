"""Mergeable aggregates of columns, which a preprocessor is fitted to.

Statistics of parts of a table merge into the statistics of the whole, in bounded memory for any
number of rows. They are sent and stored as Arrow tables, with a row for each column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import pyarrow as pa

from rayml.data.statistics.categories import CategoryStatistics
from rayml.data.statistics.moments import NumericStatistics

_STATE = pa.schema(
    [
        ("column", pa.string()),
        ("missing", pa.int64()),
        ("count", pa.int64()),
        ("mean", pa.float64()),
        ("m2", pa.float64()),
        ("minimum", pa.float64()),
        ("maximum", pa.float64()),
        ("shift", pa.int64()),
        ("keys", pa.list_(pa.uint64())),
        ("categories", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class Statistics:
    """Aggregates of the columns of a table.

    Attributes:
        numeric: of columns of numbers, by name.
        categories: of columns of strings, by name.
    """

    numeric: Mapping[str, NumericStatistics] = field(default_factory=dict)
    categories: Mapping[str, CategoryStatistics] = field(default_factory=dict)

    def merge(self, other: Statistics) -> Statistics:
        """Aggregates of the rows of both; a column may be in only one of them."""
        numeric = dict(self.numeric)
        for name, column in other.numeric.items():
            numeric[name] = numeric[name].merge(column) if name in numeric else column
        categories = dict(self.categories)
        for name, counts in other.categories.items():
            categories[name] = categories[name].merge(counts) if name in categories else counts
        return Statistics(numeric, categories)

    def missing(self) -> dict[str, int]:
        """Number of missing values by column."""
        numeric = {name: column.missing for name, column in self.numeric.items()}
        return numeric | {name: column.missing for name, column in self.categories.items()}

    def to_table(self) -> pa.Table:
        """State as an Arrow table, with a row for each column."""
        rows: list[dict[str, object]] = [
            *({"column": name, **column.state()} for name, column in self.numeric.items()),
            *({"column": name, **column.state()} for name, column in self.categories.items()),
        ]
        return pa.Table.from_pylist(rows, schema=_STATE)

    @classmethod
    def from_table(cls, table: pa.Table) -> Statistics:
        """Restore the state that `to_table` gave."""
        numeric, categories = {}, {}
        for batch in table.select(_STATE.names).to_batches():
            for row in range(batch.num_rows):
                state = {name: batch.column(name)[row] for name in _STATE.names}
                name = state["column"].as_py()
                if state["categories"].is_valid:
                    categories[name] = CategoryStatistics.from_state(state)
                else:
                    numeric[name] = NumericStatistics.from_state(state)
        return cls(numeric, categories)


def merge_all(parts: Iterable[Statistics]) -> Statistics:
    """Merge parts in their order."""
    return reduce(Statistics.merge, parts, Statistics())
