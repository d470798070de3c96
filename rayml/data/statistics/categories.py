"""Mergeable counts of a column of categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

CATEGORY_ENTRIES = 100_000


@dataclass(frozen=True)
class CategoryStatistics:
    """Counts of the categories of a column.

    Counts are exact up to `limit` categories. Beyond that the frequent ones are kept, each with a
    count that is too low by at most `count / limit` (Misra and Gries, 1982; merged as in Agarwal
    et al., "Mergeable summaries", 2012).

    Attributes:
        missing: number of missing values.
        count: number of values.
        counts: by category.
        limit: categories at most.
    """

    missing: int
    count: int
    counts: Mapping[str, int]
    limit: int = CATEGORY_ENTRIES

    @classmethod
    def of(
        cls, values: pa.ChunkedArray | pa.Array, limit: int = CATEGORY_ENTRIES
    ) -> CategoryStatistics:
        """Count strings."""
        pairs = values.drop_null().value_counts()
        counts = dict(zip(pairs.field(0).to_pylist(), pairs.field(1).to_pylist(), strict=True))
        count = len(values) - values.null_count
        return cls(values.null_count, count, _strongest(counts, limit), limit)

    def merge(self, other: CategoryStatistics) -> CategoryStatistics:
        """Counts of the values of both."""
        counts = dict(self.counts)
        for category, count in other.counts.items():
            counts[category] = counts.get(category, 0) + count
        return CategoryStatistics(
            self.missing + other.missing,
            self.count + other.count,
            _strongest(counts, self.limit),
            self.limit,
        )

    def ranked(self) -> list[tuple[str, int]]:
        """Categories with their counts, the frequent ones first, equally frequent ones by name."""
        return sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))

    def state(self) -> dict[str, object]:
        """The fields of a row of an Arrow table."""
        return {
            "missing": self.missing,
            "count": self.count,
            "categories": list(self.counts),
            "counts": list(self.counts.values()),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, pa.Scalar]) -> CategoryStatistics:
        """Restore the fields that `state` gave, from a row of an Arrow table."""
        names = state["categories"].values.to_pylist()
        counts = dict(zip(names, state["counts"].values.to_pylist(), strict=True))
        return cls(state["missing"].as_py(), state["count"].as_py(), counts)


def _strongest(counts: dict[str, int], limit: int) -> dict[str, int]:
    if len(counts) <= limit:
        return counts
    cut = sorted(counts.values(), reverse=True)[limit]
    return {category: count - cut for category, count in counts.items() if count > cut}
