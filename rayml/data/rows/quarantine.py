"""Summarises bad rows by reason, and makes the error that names the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.rows.coerce import BAD_ROWS
from rayml.errors import BadRowsError

_SHOWN = 5


@dataclass(frozen=True)
class BadRows:
    """A summary of bad rows that merges in bounded memory.

    Attributes:
        counts: number of bad rows by reason, such as "age is not a finite number".
        first: the first few by file and line, see `rayml.data.rows.coerce.BAD_ROWS`.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    first: pa.Table = field(default_factory=BAD_ROWS.empty_table)

    @classmethod
    def of(cls, bad: pa.Table) -> BadRows:
        """Summarise bad rows."""
        whats = zip(bad["column"].to_pylist(), bad["reason"].to_pylist(), strict=True)
        # Each malformed row has a reason of its own, which would make as many counts as rows.
        counts = Counter(
            f"{column} {reason}" if column else "malformed" for column, reason in whats
        )
        return cls(dict(counts), _first(bad))

    @property
    def total(self) -> int:
        """Number of bad rows."""
        return sum(self.counts.values())

    def merge(self, other: BadRows) -> BadRows:
        """The bad rows of both."""
        counts = Counter(self.counts) + Counter(other.counts)
        return BadRows(dict(counts), _first(pa.concat_tables([self.first, other.first])))

    def error(self, rows: int) -> BadRowsError:
        """The error that names the first of them.

        Args:
            rows: number of all rows.
        """
        lines = [_described(row) for row in self.first.to_pylist()]
        more = self.total - len(lines)
        tail = f"; and {more} more" if more > 0 else ""
        verb = "does" if self.total == 1 else "do"
        return BadRowsError(
            f"{self.total} of {rows} rows {verb} not fit the schema: {'; '.join(lines)}{tail}",
            remedy="Correct the rows, name texts that mean a missing value in data.schema.missing,"
            " correct data.schema.kinds, or set data.bad_rows=quarantine to leave the rows out",
        )


def _first(bad: pa.Table) -> pa.Table:
    order = [("file", "ascending"), ("line", "ascending"), ("row", "ascending")]
    return bad.take(pc.sort_indices(bad, sort_keys=order)[:_SHOWN])


def _described(row: Mapping[str, object]) -> str:
    place = " ".join(
        f"{word} {row[word]}" if word == "line" else str(row[word])
        for word in ("file", "line")
        if row[word] is not None
    )
    where = f"{place}, " if place else ""
    if row["column"] is None:
        what = str(row["reason"])
    elif row["value"] is None:
        what = f"column {row['column']!r} {row['reason']}"
    else:
        what = f"column {row['column']!r}: {row['value']!r} {row['reason']}"
    return where + what if place else f"{what} in {row['row']}"
