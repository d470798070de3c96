"""Counts keys by stratum, and finds the thresholds that meet fractions of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.keys import KeyCounts

KEY_ENTRIES = 2**20

_STATE = pa.schema(
    [
        ("stratum", pa.uint64()),
        ("shift", pa.int64()),
        ("keys", pa.list_(pa.uint64())),
        ("counts", pa.list_(pa.int64())),
        ("given", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class SplitCounts:
    """Counts that the thresholds are chosen from; they merge exactly, in any order.

    Attributes:
        strata: counts of the keys of rows that are split, by stratum.
        given: numbers of rows whose split the data gives, by split.
    """

    strata: Mapping[int, KeyCounts] = field(default_factory=dict)
    given: tuple[int, int, int] = (0, 0, 0)

    def merge(self, other: SplitCounts) -> SplitCounts:
        """Counts of the rows of both."""
        strata = dict(self.strata)
        for stratum, keys in other.strata.items():
            strata[stratum] = strata[stratum].merge(keys) if stratum in strata else keys
        train, validation, test = (a + b for a, b in zip(self.given, other.given, strict=True))
        return SplitCounts(strata, (train, validation, test))

    def to_table(self) -> pa.Table:
        """State as an Arrow table: a row for each stratum, the last one for the given splits."""
        rows: list[dict[str, object]] = [
            {"stratum": stratum, "shift": keys.shift, "keys": keys.keys, "counts": keys.counts}
            for stratum, keys in self.strata.items()
        ]
        return pa.Table.from_pylist([*rows, {"given": list(self.given)}], schema=_STATE)

    @classmethod
    def from_table(cls, table: pa.Table) -> SplitCounts:
        """Restore what `to_table` gave."""
        strata: dict[int, KeyCounts] = {}
        for row in range(table.num_rows - 1):
            state = {name: table.column(name)[row] for name in _STATE.names}
            strata[state["stratum"].as_py()] = KeyCounts(
                state["keys"].values.to_numpy(zero_copy_only=False),
                state["counts"].values.to_numpy(zero_copy_only=False),
                state["shift"].as_py(),
                KEY_ENTRIES,
            )
        train, validation, test = table.column("given")[-1].as_py()
        return cls(strata, (train, validation, test))


@dataclass(frozen=True)
class Thresholds:
    """Keys at which a stratum is cut: rows below `validation` train, rows from `test` on test."""

    validation: int
    test: int


def cut(keys: KeyCounts, validation: float, test: float) -> tuple[int, int]:
    """Number of entries that train, and that train or validate; no entry is divided."""
    cumulated = np.r_[0, np.cumsum(keys.counts)]
    rows, entries = keys.total, len(keys.keys)
    wanted_test = round(rows * test)
    wanted_validation = round(rows * validation)
    middle = _nearest(cumulated, rows - wanted_test - wanted_validation)
    last = _nearest(cumulated, rows - wanted_test)
    if entries >= 3:
        # Rounding should not leave a split without rows if groups are few and large.
        last = min(max(last, 2), entries - 1)
        middle = min(max(middle, 1), last - 1)
    return middle, last


def _nearest(cumulated: npt.NDArray[np.int64], rows: int) -> int:
    at = int(np.searchsorted(cumulated, rows))
    if at and rows - cumulated[at - 1] <= cumulated[at] - rows:
        return at - 1
    return at


def threshold(keys: KeyCounts, end: int) -> int:
    """Key of the first entry from `end` on; above all keys if there is none."""
    return int(keys.starts()[end]) if end < len(keys.keys) else 2**63
