"""Codes of categories straight from the bytes of BYTES tensors.

Looking up a table of strings is slow because of the strings: each column is copied, checked to be
text, and encoded. Here one call looks up all columns among the known categories as they are on the
wire, so that only unknown elements are checked further.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.fit.column_transforms import CategoricalColumn
from rayml.serve.tensors.byte_strings import is_text, lay_out, on_wire

Codes = npt.NDArray[np.int64]

# Arrow hashes the categories at each call: 4096 of them cost as much as 1,000 rows of 8 columns.
_MOST_CATEGORIES = 4096


class ByteCodes:
    """Looks up the codes of some categorical columns.

    Args:
        columns: transforms of the columns.
        empty: by column, whether the empty string is a category; else it is a missing value.
    """

    def __init__(self, columns: Sequence[CategoricalColumn], empty: Sequence[bool]) -> None:
        texts = (text for each in columns for text in (*each.categories, *each.tokens))
        known = {text.encode() for text in texts}
        elements = sorted(known | {b""})
        self._known = pa.array(map(on_wire, elements), pa.binary())
        # One more, since what is unknown has the code 0 in each column.
        self._codes = np.zeros((len(columns), len(elements) + 1), dtype=np.int64)
        for row, column, keeps_empty in zip(self._codes, columns, empty, strict=True):
            row[:-1] = [
                column.code(each.decode() if each or keeps_empty else None) for each in elements
            ]
        self._pays = len(elements) <= _MOST_CATEGORIES

    def look_up(
        self, columns: Sequence[int], raws: Sequence[bytes | memoryview], rows: int
    ) -> Codes | None:
        """Look up the codes of tensors, [rows, columns].

        Args:
            columns: positions of the tensors' columns among those of this object.
            raws: bytes of the tensors.
            rows: number of elements of each.

        Returns:
            None where this way does not apply: there are very many categories, or an element is
            torn, long or no text.
        """
        elements = lay_out(raws, rows) if self._pays else None
        if elements is None:
            return None
        found = pc.index_in(elements, value_set=self._known)
        if found.null_count:
            if not is_text(elements):
                return None
            found = found.fill_null(len(self._known))
        places = found.to_numpy().reshape(len(raws), rows)
        starts = np.array(columns) * self._codes.shape[1]
        return np.ascontiguousarray(self._codes.take(places + starts[:, None]).T)
