"""Counts rows that stand in more than one split, value for value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rayml.data.columns.hashing import hash_rows

MOST = 2**20
"""So many rows are compared at most; of more a share that the rows' content draws."""

STATE = pa.schema([("side", pa.int8()), ("hash", pa.uint64())])


@dataclass(frozen=True)
class Repeated:
    """Rows of validation and test that training has too; estimates where rows are many."""

    validation: int
    test: int


def compared_below(rows: int) -> int:
    """Rows whose hash is below are compared."""
    return 2**64 - 1 if rows <= MOST else int(2**64 * (MOST / rows))


def hashes(rows: pa.Table, side: int, below: int) -> pa.Table:
    """Hashes of some rows of a split over features and target, see `STATE`."""
    found = hash_rows(rows)
    found = found[found <= np.uint64(below)]
    side_of_all = np.full(len(found), side, dtype=np.int8)
    return pa.table({"side": side_of_all, "hash": found}, schema=STATE)


def count_repeated(parts: Iterable[pa.Table], below: int) -> Repeated:
    """Count what the splits share."""
    table = pa.concat_tables([STATE.empty_table(), *parts])
    side, found = table.column("side").to_numpy(), table.column("hash").to_numpy()
    train = np.unique(found[side == 0])
    share = (below + 1) / 2**64
    validation, test = (
        round(int(np.isin(found[side == split], train).sum()) / share) for split in (1, 2)
    )
    return Repeated(validation, test)
