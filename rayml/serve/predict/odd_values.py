"""Values that are unlike those of training: answered with a warning, counted, or refused."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from pydantic_core import to_json

from rayml.data.fit.oddities import Odd, OddKind
from rayml.errors import RequestError
from rayml.registry.bundle.signature import InputColumn, Signature

WARNINGS: Final = "warnings"
"""Name of the key, column or tensor with the odd values of a row."""

ARROW_TYPE: Final = pa.map_(pa.string(), pa.string())

_REMEDY = "An endpoint with serve.unknown=warn answers such a row with a warning"


class OddValues:
    """Counts the odd values of requests for one model, or refuses the requests.

    Several threads may use it.

    Args:
        signature: signature of the bundle.
        refuse: whether requests with odd values are refused.
    """

    def __init__(self, signature: Signature, *, refuse: bool) -> None:
        self._columns = {column.name: column for column in signature.inputs}
        self._refuse = refuse
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, OddKind], int] = {}

    def note(self, odd: Mapping[int, Odd]) -> None:
        """Record the odd values of a request, by row.

        Raises:
            RequestError: 422 if there is one, and requests with odd values are refused.
        """
        if not odd:
            return
        with self._lock:
            for of_row in odd.values():
                for key in of_row.items():
                    self._counts[key] = self._counts.get(key, 0) + 1
        if self._refuse:
            raise refusal(odd, self._columns)

    def counts(self) -> tuple[tuple[str, OddKind, int], ...]:
        """Odd values so far: column, kind, and count."""
        with self._lock:
            return tuple((*key, count) for key, count in self._counts.items())


def refusal(odd: Mapping[int, Odd], columns: Mapping[str, InputColumn]) -> RequestError:
    """The error that names the first of some odd values."""
    row, of_row = next(iter(odd.items()))
    name, kind = next(iter(of_row.items()))
    return RequestError(
        f"row {row}, column {name!r}: {described(kind, columns[name])}",
        status=422,
        remedy=_REMEDY,
        row=row,
        column=name,
    )


def described(kind: OddKind, column: InputColumn) -> str:
    """What is odd about a value, as a sentence."""
    match kind:
        case "unknown":
            return "the model does not know this category"
        case "missing":
            return "the value is missing, and no row of the training data lacks it"
        case "cut":
            return "the text is longer than the model reads, and its end is left out"
        case "range":
            ends = (column.minimum, column.maximum)
            return "the value lies far outside of the training range" + (
                "" if None in ends else f", {ends[0]:.6g} to {ends[1]:.6g}"
            )


def as_texts(odd: Mapping[int, Odd] | None, rows: int) -> pa.BinaryArray:
    """The odd values of each row as an object of JSON, column by column; `{}` without any."""
    texts = [b"{}"] * rows
    for row, of_row in (odd or {}).items():
        texts[row] = to_json(of_row)
    return pa.array(texts, pa.binary())


def as_maps(odd: Mapping[int, Odd] | None, rows: int) -> pa.Array:
    """The odd values of each row as a map of Arrow; null without any."""
    maps: list[Sequence[tuple[str, str]] | None] = [None] * rows
    for row, of_row in (odd or {}).items():
        maps[row] = list(of_row.items())
    return pa.array(maps, ARROW_TYPE) if odd else pa.nulls(rows, ARROW_TYPE)
