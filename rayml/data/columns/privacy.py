"""Finds columns whose values are not shown, since they name people or rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from rayml.data.columns.identifiers import ENOUGH_ROWS, ID_SHARE, ID_WORDS, words_of
from rayml.data.columns.kinds import parse
from rayml.types import Kind

MASK = "…"
"""Replaces a value that is not shown."""

_IDS = ID_WORDS | {"ssn", "iban", "passport"}
_CONTACTS = {"email", "mail", "phone", "telephone", "mobile", "surname", "lastname", "firstname"}
_PEOPLE = 20  # different values at least: fewer are ways to reach somebody, such as phone or mail


def named_like_identifier(name: str, kind: Kind, distinct: int) -> bool:
    """Whether a column's name says that its values name people or rows, as `customer_id` does.

    Args:
        name: of the column.
        kind: of its values; truth values and times are no names.
        distinct: number of different values.
    """
    if kind not in ("categorical", "numeric"):
        return False
    words = words_of(name)
    # `e-mail` and `first_name` are two words each.
    found = {*words, *map("".join, pairwise(words))}
    return bool(found & _IDS or (distinct >= _PEOPLE and found & _CONTACTS))


def looks_like_identifier(name: str, values: pa.Array, kind: Kind) -> bool:
    """Whether a column names rows or people, by its name or because its values hardly repeat.

    Numbers with fractions that never repeat are measurements, and so are times.

    Args:
        name: of the column.
        values: in a sample of the rows.
        kind: of the values.
    """
    present = values.drop_null()
    distinct = len(present.unique())
    if named_like_identifier(name, kind, distinct):
        return True
    if len(present) < ENOUGH_ROWS or kind not in ("categorical", "numeric"):
        return False
    if kind == "categorical":
        return distinct > ID_SHARE * len(present)
    if distinct < len(present):
        return False
    numbers = parse(present, "numeric")[0].drop_null().to_numpy()
    return bool(len(numbers) and (numbers == np.trunc(numbers)).all())
