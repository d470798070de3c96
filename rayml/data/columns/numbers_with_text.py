"""Finds text columns of numbers, with text for missing values or with decimal commas."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.kinds import matches_number

_TEXTS = 3  # different ones: more are categories of their own
_NUMBERS = 10  # different ones: fewer may be codes
_PADDED = re.compile(r"0\d+")  # such as a postal code, which is not a number
_COMMA = r"^[+-]?\d*,\d+$"
_FRACTION = r"^[+-]?\d*[.,]\d+$"
_MOST = 0.95  # of the values except those of one text


def has_decimal_commas(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether strings are numbers, some of them with a decimal comma."""
    present = pc.utf8_trim_whitespace(column.drop_null())
    commas = pc.match_substring_regex(present, _COMMA)
    if not pc.any(commas).as_py():
        return False
    numbers = pc.or_(commas, matches_number(present))
    return bool(pc.sum(numbers).as_py() >= _MOST * _but_the_most_frequent(present, numbers))


def are_measurements(present: pa.Array) -> bool:
    """Whether more than half of some strings are numbers with fractions."""
    bare = pc.utf8_trim_whitespace(present)
    return bool((pc.sum(pc.match_substring_regex(bare, _FRACTION)).as_py() or 0) * 2 > len(present))


def _but_the_most_frequent(present: pa.ChunkedArray | pa.Array, numbers: pa.Array) -> int:
    """Number of values except those of the most frequent text that is not a number."""
    others = present.filter(pc.invert(numbers)).value_counts().field("counts")
    return len(present) - (pc.max(others).as_py() or 0)


def texts_among_numbers(column: pa.ChunkedArray) -> dict[str, int]:
    """The few texts among the numbers of a column, with their counts.

    Args:
        column: of strings; nulls are missing values.

    Returns:
        The most frequent first; empty if the column holds no numbers, only numbers, or no more
        numbers than texts.
    """
    found = {each["values"]: each["counts"] for each in column.value_counts().to_pylist()}
    found.pop(None, None)
    values = list(found)
    flags = matches_number(pa.array(values, pa.string())).to_pylist()
    numbers = [value for value, is_number in zip(values, flags, strict=True) if is_number]
    texts = {v: found[v] for v, is_number in zip(values, flags, strict=True) if not is_number}
    few = 0 < len(texts) <= _TEXTS and len(numbers) >= _NUMBERS
    if not few or sum(texts.values()) >= sum(found[each] for each in numbers):
        return {}
    if any(_PADDED.fullmatch(each.strip()) for each in numbers):
        return {}
    return dict(sorted(texts.items(), key=lambda each: -each[1]))
