"""Counts validation and test rows that equal a training row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rayml.data.columns.hashing import hash_rows

MOST = 2**20
"""Rows that are compared at most; of more rows a share, drawn by their content."""

STATE = pa.schema([("split", pa.int8()), ("hash", pa.uint64())])


@dataclass(frozen=True)
class Repeated:
    """Rows of validation and test that training has too; estimates for more than `MOST` rows."""

    validation: int
    test: int


def compared_below(rows: int) -> int:
    """The largest hash of the rows that are compared."""
    return 2**64 - 1 if rows <= MOST else int(2**64 * (MOST / rows))


def hashes(rows: pa.Table, split: int, below: int) -> pa.Table:
    """Hashes of some rows of a split over features and target, see `STATE`."""
    found = hash_rows(rows)
    found = found[found <= np.uint64(below)]
    splits = np.full(len(found), split, dtype=np.int8)
    return pa.table({"split": splits, "hash": found}, schema=STATE)


def count_repeated(parts: Iterable[pa.Table], below: int) -> Repeated:
    """Count the rows of validation and test that training has too."""
    table = pa.concat_tables([STATE.empty_table(), *parts])
    splits, found = table.column("split").to_numpy(), table.column("hash").to_numpy()
    train = np.unique(found[splits == 0])
    share = (below + 1) / 2**64
    validation, test = (
        round(int(np.isin(found[splits == split], train).sum()) / share) for split in (1, 2)
    )
    return Repeated(validation, test)
