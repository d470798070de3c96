"""The kinds of columns: their natural Arrow types, and how values are read as a kind.

Each value is read by itself, so a row never depends on its neighbours:

- numeric: any number; text in decimal or scientific notation. NaN is missing, an infinite
  number is a misfit.
- boolean: true, yes, 1 and false, no, 0 in any case.
- timestamp: ISO 8601 text, dates and times; UTC if it has no offset. Parts finer than a
  microsecond are cut. Years are those of ISO 8601 and Python, 1 to 9999.
- categorical: text unchanged; whole numbers of any type in decimal notation, so 1, 1.0 and "1"
  are one category.
- text: as categorical. It is read by an encoder, see `rayml.data.text`.

Text that is one of a dataset's tokens for a missing value, such as `?`, is missing in any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.errors import SchemaError
from rayml.types import Kind

Mask = npt.NDArray[np.bool_]

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "text": pa.string(),
}
EXPECTED: dict[Kind, str] = {
    "numeric": "is not a finite number",
    "categorical": "is not text",
    "boolean": "is none of true, false, yes, no, 1, 0",
    "timestamp": "is not a time as ISO 8601",
    "text": "is not text",
}

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,5})?$"
_NAN = r"^(?i:[+-]?nan)$"
_TRUE = pa.array(["true", "yes", "1"])
_FALSE = pa.array(["false", "no", "0"])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}  # in microseconds
_EXACT = 2.0**53  # whole numbers up to here are exact as floats


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One contiguous array in a basic type: dictionaries decoded, one string type, no decimals."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = values.type
    if pa.types.is_dictionary(kind):
        return plain(values.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    if pa.types.is_date(kind):
        return values.cast(pa.timestamp("s"), safe=False)  # finer units cannot hold each date
    return values


def readable(kind_of_values: pa.DataType, kind: Kind) -> bool:
    """Whether values of an Arrow type can be read as a kind."""
    values = plain(pa.nulls(0, kind_of_values)).type
    number = pa.types.is_integer(values) or pa.types.is_floating(values)
    if pa.types.is_string(values):
        return True
    if pa.types.is_timestamp(values):
        return kind in ("timestamp", "categorical", "text")
    return kind != "timestamp" and (number or pa.types.is_boolean(values))


def parse(
    column: pa.ChunkedArray | pa.Array, kind: Kind, missing: Sequence[str] = ()
) -> tuple[pa.Array, Mask]:
    """Read values as a kind.

    Args:
        column: values of any readable type.
        kind: to read them as.
        missing: texts that mean a missing value.

    Returns:
        The values in the kind's natural type, null where missing or misfit; and which of them
        are misfits: present but not of the kind.

    Raises:
        SchemaError: values of this type cannot be read as the kind.
    """
    values = plain(column)
    if not readable(values.type, kind):
        raise SchemaError(
            f"a column of type {values.type} cannot be read as {kind}",
            remedy="Choose another kind for it, or list it in data.schema.ignore",
        )
    if missing and pa.types.is_string(values.type):
        values = without_tokens(values, missing)
    match kind:
        case "numeric":
            return _numeric(values)
        case "boolean":
            return _boolean(values)
        case "timestamp":
            return _timestamp(values)
        case "categorical" | "text":
            return _categorical(values), np.zeros(len(values), np.bool_)


def without_tokens(text: pa.Array, tokens: Sequence[str]) -> pa.Array:
    """Strings with null in the place of the tokens of a missing value."""
    is_token = pc.is_in(text, pa.array(tokens, pa.string()))
    return pc.if_else(is_token, None, text) if pc.any(is_token).as_py() else text


def matches_number(text: pa.Array) -> pa.Array:
    """Which strings are numbers; nulls stay null."""
    return pc.match_substring_regex(pc.utf8_trim_whitespace(text), _NUMBER)


def _numeric(values: pa.Array) -> tuple[pa.Array, Mask]:
    misfit = np.zeros(len(values), np.bool_)
    if pa.types.is_string(values.type):
        text = pc.utf8_trim_whitespace(values)
        number = pc.match_substring_regex(text, _NUMBER)
        nan = pc.match_substring_regex(text, _NAN)
        misfit = _mask(pc.invert(pc.or_(number, nan)))
        # Arrow's correctly rounded reader takes no leading plus.
        values = pc.utf8_ltrim(pc.if_else(number, text, None), "+")
    floats = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    misfit |= np.isinf(floats)
    return pa.array(floats, mask=misfit | np.isnan(floats)), misfit


def _boolean(values: pa.Array) -> tuple[pa.Array, Mask]:
    if pa.types.is_boolean(values.type):
        return values, np.zeros(len(values), np.bool_)
    if pa.types.is_string(values.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(values))
        true = _mask(pc.is_in(text, _TRUE))
        false = _mask(pc.is_in(text, _FALSE))
        present = _mask(values.is_valid())
    else:
        floats = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        true, false, present = floats == 1, floats == 0, ~np.isnan(floats)
    misfit = present & ~true & ~false
    return pa.array(true, mask=misfit | ~present), misfit


def _timestamp(values: pa.Array) -> tuple[pa.Array, Mask]:
    misfit = np.zeros(len(values), np.bool_)
    if pa.types.is_string(values.type):
        # Times repeat little, but only Python's own reader takes all of ISO 8601.
        encoded = pc.utf8_trim_whitespace(values).dictionary_encode()
        read = pa.array([microseconds_of(t) for t in encoded.dictionary.to_pylist()], pa.int64())
        microseconds = read.take(encoded.indices)
        misfit = _mask(pc.and_(values.is_valid(), microseconds.is_null()))
    elif values.type.unit == "ns":
        microseconds = values.cast(pa.timestamp("us", tz=values.type.tz), safe=False)
    else:
        unit = _UNITS[values.type.unit]
        ticks = values.cast(pa.int64())
        known = pc.and_(
            pc.greater_equal(ticks, _since(datetime.min) // unit),
            pc.less_equal(ticks, _since(datetime.max) // unit),
        )
        misfit = _mask(pc.invert(known))
        microseconds = pc.multiply(pc.if_else(known, ticks, None), unit)
    return microseconds.cast(pa.int64()).cast(ARROW_TYPES["timestamp"]), misfit


def microseconds_of(text: str) -> int | None:
    """Microseconds from 1970 to a time as ISO 8601; None if the text is not a time."""
    try:
        since = _since(datetime.fromisoformat(text.strip()))
    except ValueError:
        return None
    return since if _since(datetime.min) <= since <= _since(datetime.max) else None


def _since(time: datetime) -> int:
    """Microseconds since 1970."""
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _categorical(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        floats = values.to_numpy(zero_copy_only=False)
        missing = np.isnan(floats)
        whole = (floats == np.trunc(floats)) & (np.abs(floats) < _EXACT)
        numbers = pa.array(np.where(whole, floats, 0).astype(np.int64)).cast(pa.string())
        text = pc.if_else(pa.array(whole), numbers, values.cast(pa.string()))
        return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), text)
    return values.cast(pa.string())


def _mask(flags: pa.Array) -> Mask:
    mask: Mask = flags.fill_null(False).to_numpy(zero_copy_only=False)
    return mask
