"""Refuses a body whose JSON is out of all proportion before anything is built from it.

An object, a list element or a name of one to three bytes costs a parser tens to hundreds of bytes,
so that some megabytes of them become more than a gigabyte. What a signature can need is known, and
marks are counted at the speed of a copy.
"""

from __future__ import annotations

import re

from rayml.errors import RequestError
from rayml.serve.http.body import SMALL_BODY_BYTES

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class Proportion:
    """The most that a body of rows can hold.

    Args:
        max_rows: rows of a request at most.
        columns: of the signature.
    """

    def __init__(self, *, max_rows: int, columns: int) -> None:
        self._max_rows = max_rows
        self._columns = columns
        # The object and the name around the rows count too.
        self._most = {
            b"{": max_rows + 1,
            b":": max_rows * columns + 1,
            b",": max_rows * columns,
        }

    def check(self, body: bytes) -> None:
        """Check a body.

        Raises:
            RequestError: 413 for too many rows, 422 for too many names or values.
        """
        if len(body) <= SMALL_BODY_BYTES or self._exceeded(body) is None:
            return
        # Marks inside strings count for nothing; a string that does not end is no JSON anyway.
        match self._exceeded(_STRING.sub(b"", body)):
            case b"{":
                raise RequestError(
                    f"a request has at most {self._max_rows} rows",
                    status=413,
                    remedy="Send them in several requests",
                )
            case b":" | b",":
                raise RequestError(
                    f"a row has at most the {self._columns} columns of the signature, "
                    f"and a request {self._max_rows} rows",
                    status=422,
                )

    def _exceeded(self, body: bytes) -> bytes | None:
        return next((mark for mark, most in self._most.items() if body.count(mark) > most), None)
