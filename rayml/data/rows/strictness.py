"""The values that a column takes in a request, the same in every protocol and file.

Training reads any value that it can (`rayml.data.columns.kinds`); a request that writes a number as
a string, or a truth value in place of a number, is more likely a mistake. So of typed values

- a numeric column takes integers, floats and decimals, no texts and no truth values;
- a categorical column takes texts and whole numbers, which are the categories of their digits;
- a boolean column takes truth values, and the numbers 0 and 1;
- a column of text takes texts;
- a timestamp column takes times, dates, and texts in ISO 8601.

An infinite number is never taken. Protocols differ in three points: CSV has only texts, which are
read as in training. Rows of JSON have no NaN; elsewhere, and in the JSON of the Open Inference
Protocol, NaN is a missing value. Tensors of BOOL and integers hold no missing values; an empty
element of BYTES is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from rayml.data.columns.kinds import Mask, parse, plain
from rayml.types import Kind

WHOLE = 2.0**53
"""Whole numbers below are exact as floats."""

TYPES: dict[Kind, str] = {
    "numeric": "integers, floats or decimals",
    "categorical": "text or whole numbers",
    "boolean": "truth values, or numbers 0 and 1",
    "timestamp": "times, dates, or text in ISO 8601",
    "text": "text",
}
VALUES: dict[Kind, str] = {
    "numeric": "a finite number",
    "categorical": "a string or a whole number",
    "boolean": "true or false, or 1 or 0",
    "timestamp": "a time as ISO 8601, such as 2024-05-17T08:30:00Z",
    "text": "a string",
}
_NUMBER = (pa.types.is_integer, pa.types.is_floating)
_ADMITTED: dict[Kind, tuple[Callable[[pa.DataType], bool], ...]] = {
    "numeric": _NUMBER,
    "categorical": (*_NUMBER, pa.types.is_string),
    "boolean": (*_NUMBER, pa.types.is_boolean),
    "timestamp": (pa.types.is_timestamp, pa.types.is_string),
    "text": (pa.types.is_string,),
}


def admits(values: pa.DataType, kind: Kind) -> bool:
    """Whether a column of a kind takes values of an Arrow type."""
    if pa.types.is_null(values):
        return True
    if pa.types.is_nested(values) and not pa.types.is_dictionary(values):
        return False
    values = plain(pa.nulls(0, values)).type  # a decimal is a float by now, a date a time
    return any(is_one(values) for is_one in _ADMITTED[kind])


def read(
    column: pa.ChunkedArray | pa.Array, kind: Kind, missing: Sequence[str] = ()
) -> tuple[pa.Array, Mask]:
    """Read values of a type that the kind admits.

    Args:
        column: the values.
        kind: to read them as.
        missing: texts that mean a missing value.

    Returns:
        The values in the kind's natural type, null where missing or misfit; and which of them
        are misfits: present but not of the kind.
    """
    values, misfit = parse(column, kind, missing)
    if kind == "categorical":
        given = plain(column)
        if pa.types.is_floating(given.type):
            floats = given.to_numpy(zero_copy_only=False).astype(np.float64)
            with np.errstate(invalid="ignore"):
                whole = (floats == np.trunc(floats)) & (np.abs(floats) < WHOLE)
            misfit = ~whole & ~np.isnan(floats)
    return values, misfit
