"""Finds columns that name rows rather than describe them: indices, row numbers, identifiers.

A model memorises rows by such a column, and later meets only new values of it. Only text and whole
numbers can be identifiers: numbers with fractions that never repeat are measurements.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.kinds import parse, plain
from rayml.data.columns.numbers_with_text import are_measurements
from rayml.data.columns.split_names import NAMES
from rayml.types import Kind

INDEX = "is the index of a pandas table"
ROW_NUMBER = "numbers the rows"
IDENTIFIER = "hardly repeats, like an identifier"
SPLIT_NAMES = "names train and test rows"
LEFT_OUT = (INDEX, ROW_NUMBER, IDENTIFIER, SPLIT_NAMES)
"""The reasons why a column that has several values is left out."""

ENOUGH_ROWS = 50  # with fewer, identifiers cannot be distinguished from categories
ID_SHARE = 0.9  # of different values: more makes an identifier
_DENSE = 1.05  # size of the numbers' range, as a multiple of the number of rows
_INDEX = re.compile(r"__index_level_\d+__")
_WRITTEN_INDEX = re.compile(r"Unnamed: \d+(\.\d+)?")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
ID_WORDS = {"id", "ids", "uid", "uuid", "guid", "identifier", "rowid", "rownum", "rownumber"}
# Other dense numbers may count time, or be measurements.
_ROW_WORDS = {
    *("row", "rows", "index", "idx", "no", "nr", "num", "number", "key", "seq", "sequence"),
    *("record", "recno", "line", "case", "observation", "obs", "serial"),
}


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case, as `customer` and `id` of `customerId`."""
    return [word.lower() for word in _WORDS.findall(name)]


def reason_to_leave_out(
    name: str, column: pa.ChunkedArray | pa.Array, kind: Kind, *, index: bool, rows: int | None
) -> str:
    """Why a column is not a feature, one of `LEFT_OUT`; empty if it may be one.

    Args:
        name: of the column.
        column: its values in a sample of the rows.
        kind: of its values.
        index: whether the source says that it is the index of a pandas table.
        rows: of the whole table; None if only the sample is known.
    """
    values = plain(column)
    present = values.drop_null()
    if index or _INDEX.fullmatch(name):
        return INDEX
    if kind == "categorical" and _names_splits(present):
        return SPLIT_NAMES
    whole = _whole(present, kind)
    text = kind == "categorical" and pa.types.is_string(values.type)
    if whole is not None:
        return _reason_of_numbers(name, whole, len(values), rows or len(values))
    if text and are_measurements(present):
        return ""  # numbers in another notation
    repeats_little = len(present.unique()) > ID_SHARE * len(present)
    return IDENTIFIER if text and len(present) >= ENOUGH_ROWS and repeats_little else ""


def _reason_of_numbers(name: str, whole: npt.NDArray[np.float64], sampled: int, rows: int) -> str:
    """Why a column of whole numbers is not a feature.

    Args:
        name: of the column.
        whole: the present numbers.
        sampled: number of values in the sample, missing ones included.
        rows: number of rows of the table.
    """
    distinct = len(np.unique(whole))
    if _WRITTEN_INDEX.fullmatch(name) and distinct == sampled:
        return INDEX
    words = set(words_of(name))
    if len(whole) < ENOUGH_ROWS or distinct <= ID_SHARE * len(whole):
        return ""
    if words & ID_WORDS:
        return IDENTIFIER
    return ROW_NUMBER if words & _ROW_WORDS and runs_with_rows(whole, sampled, rows) else ""


def runs_with_rows(whole: npt.NDArray[np.float64], sampled: int, rows: int) -> bool:
    """Whether whole numbers may number the rows: all are different, and dense.

    Args:
        whole: the present numbers.
        sampled: number of values in the sample, missing ones included.
        rows: number of rows of the table.
    """
    if len(np.unique(whole)) < max(sampled, ENOUGH_ROWS):
        return False
    return bool(whole.max() - whole.min() + 1 <= _DENSE * rows)


def _whole(present: pa.Array, kind: Kind) -> npt.NDArray[np.float64] | None:
    """The values as numbers, if all are whole."""
    if kind != "numeric" or not len(present):
        return None
    numbers = parse(present, "numeric")[0].drop_null().to_numpy()
    return numbers if len(numbers) and bool((numbers == np.trunc(numbers)).all()) else None


def _names_splits(present: pa.Array) -> bool:
    """Whether all values are names of splits, training rows among them."""
    if not pa.types.is_string(present.type):
        return False
    names = pc.utf8_lower(pc.utf8_trim_whitespace(present.unique())).to_pylist()
    splits = {NAMES.get(each) for each in names}
    return None not in splits and 0 in splits and len(splits) > 1
