"""Names of the columns that hold the origin of a row.

A source may add them to the columns of its table; preparing removes them again, and names bad rows
by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayml.data.columns.repeated import repeated
from rayml.errors import SourceError

FILE = "__file__"  # string: file or URL
LINE = "__line__"  # int64: line of a text file, or row of a table, counted from 1
MALFORMED = "__malformed__"  # string: why the row could not be read; null for good rows
RESERVED = (FILE, LINE, MALFORMED)

UNNAMED = "Unnamed: 0"
"""Name of a CSV file's first column if its header has none, as in pandas."""

KEY = "__key__"  # a hash of the row, while preparing
ORDER = "__order__"  # the row's place among the prepared ones, while preparing
WORKING = (KEY, ORDER)


def check_names(names: Sequence[str]) -> None:
    """Check that the columns of a source have different names, none of them reserved.

    Raises:
        SourceError: a name is empty, occurs twice, or is one of `RESERVED` or `WORKING`.
    """
    remedy = "Rename the column in the data or in the query"
    if not all(names):
        raise SourceError("a column has no name", found=list(names), remedy=remedy)
    if twice := repeated(names):
        raise SourceError("several columns have the same name", found=twice, remedy=remedy)
    taken = sorted(set(names) & {*RESERVED, *WORKING})
    if taken:
        raise SourceError("a column has a name that rayml reserves", found=taken, remedy=remedy)
