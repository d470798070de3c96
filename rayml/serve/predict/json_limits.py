"""Limits on the objects and values in a JSON body, checked before the body is parsed.

An object, a list element or a name of one to three bytes costs a parser tens to hundreds of bytes,
so that some megabytes of them become more than a gigabyte. The signature bounds how many a request
needs, and counting braces, colons and commas is as fast as a copy.
"""

from __future__ import annotations

import re

from rayml.errors import RequestError
from rayml.serve.http.body import SMALL_BODY_BYTES

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class JsonLimits:
    """Limits for bodies of rows.

    Args:
        max_rows: most rows of a request.
        columns: number of columns of the signature.
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
        # Marks inside strings do not count; a string without an end is no JSON, and fails later.
        match self._exceeded(_STRING.sub(b"", body)):
            case b"{":
                raise RequestError(
                    f"the request has more than {self._max_rows} rows",
                    status=413,
                    remedy="Send them in several requests",
                )
            case b":" | b",":
                raise RequestError(
                    f"the request has more names or values than {self._max_rows} rows of"
                    f" {self._columns} columns",
                    status=422,
                    remedy="Name each column once a row",
                )

    def _exceeded(self, body: bytes) -> bytes | None:
        return next((mark for mark, most in self._most.items() if body.count(mark) > most), None)
