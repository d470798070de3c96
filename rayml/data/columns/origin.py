"""Names of the columns that say where a row came from.

A source may add them to the columns of its table; preparing takes them off again and tells
with them which row is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayml.errors import SourceError

FILE = "__file__"  # string: file or URL
LINE = "__line__"  # int64: line of a text file, or row of a table, counted from 1
MALFORMED = "__malformed__"  # string: why the row could not be read; null for good rows
RESERVED = (FILE, LINE, MALFORMED)

UNNAMED = "Unnamed: 0"
"""Name of a CSV file's first column where its header has none, as pandas reads it."""

KEY = "__key__"  # preparing keeps a hash of a row in it
ORDER = "__order__"  # and the row's place among the prepared ones
WORKING = (KEY, ORDER)


def check_names(names: Sequence[str]) -> None:
    """Check that the columns of a source can be told apart by name.

    Raises:
        SourceError: a name is empty, occurs twice, or is one of `RESERVED` or `WORKING`.
    """
    remedy = "Rename the column in the data or in the query"
    if not all(names):
        raise SourceError("every column must have a name", found=list(names), remedy=remedy)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError("a name must be of one column only", found=twice, remedy=remedy)
    taken = sorted(set(names) & {*RESERVED, *WORKING})
    if taken:
        raise SourceError("a column's name must not be reserved", found=taken, remedy=remedy)
