"""Deals typed rows into folds by the method of their split, see `rayml.data.split.folds`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.hashing import hash_rows, hash_values, mix
from rayml.data.split.folds import Folds, deal_by_hash, deal_by_time
from rayml.data.split.split import column_of
from rayml.errors import DataError
from rayml.settings.data import SplitSettings
from rayml.tasks.table import task_type
from rayml.types import TargetInfo, TaskName

FOLD_KEYS = pa.schema([("stratum", pa.uint64()), ("key", pa.uint64()), ("time", pa.float64())])
"""What rows are dealt into folds by."""

_MOST_ROWS = 10_000_000  # which one process holds as three numbers each
_SALT = 0x666F6C6473  # so that folds are drawn otherwise than the split
_DAY = 86_400_000_000  # in microseconds


@dataclass(frozen=True)
class Dealer:
    """Deals the rows that train and validate.

    Classes are dealt class by class where the method is `stratified` or `given`.

    Attributes:
        settings: the method, which is not `auto`, and the folds.
        target: the column that is predicted.
        task: what is predicted.
    """

    settings: SplitSettings
    target: str
    task: TaskName

    def keys(self, rows: pa.Table) -> pa.Table:
        """What typed rows are dealt by, see `FOLD_KEYS`; one row for each."""
        method = self.settings.method
        strata, keys = np.zeros(rows.num_rows, np.uint64), np.zeros(rows.num_rows, np.uint64)
        times = np.zeros(rows.num_rows)
        seed = mix(np.array([(self.settings.seed + _SALT) % 2**64], dtype=np.uint64))
        if method == "time":
            times = _numbers(rows.column(column_of(self.settings)))
        elif method == "group":
            keys = mix(hash_values(rows.column(column_of(self.settings))) ^ seed)
        else:
            # Rows that differ in their given split alone are equal.
            given = [column_of(self.settings)] if method == "given" else []
            content = rows.drop_columns([each for each in given if each in rows.column_names])
            keys = hash_rows(content, int(seed[0]))
            if method != "random" and task_type(self.task).has_classes:
                strata = hash_values(rows.column(self.target))
        return pa.table([strata, keys, times], schema=FOLD_KEYS)

    def deal(self, keys: pa.Table) -> Folds:
        """Deal rows into folds.

        Args:
            keys: of all rows that train or validate, in the order in which they are stored.

        Raises:
            DataError: there are fewer rows, groups or times than folds, too many rows, or a fold
                whose model has no rows to train on.
        """
        settings = self.settings
        if keys.num_rows > _MOST_ROWS:
            raise DataError(
                f"data.split.folds={settings.folds} would deal {keys.num_rows:,} rows, and at most"
                f" {_MOST_ROWS:,} are dealt",
                remedy="Leave data.split.folds out; so many rows hardly need folds",
            )
        strata, hashes, times = (keys.column(name).to_numpy() for name in FOLD_KEYS.names)
        if settings.method == "time":
            self._require(len(np.unique(times)), f"different times in column {settings.column!r}")
            folds = deal_by_time(times, settings.folds, settings.gap)
        elif settings.method == "group":
            self._require(len(np.unique(hashes)), f"groups in column {settings.column!r}")
            folds = deal_by_hash(strata, hashes, settings.folds, divide=False)
        else:
            self._require(keys.num_rows, "rows that train and validate")
            folds = deal_by_hash(strata, hashes, settings.folds, divide=True)
        self._require_rows(folds)
        return folds

    def _require(self, have: int, what: str) -> None:
        if have < self.settings.folds:
            raise DataError(
                f"data.split.folds={self.settings.folds} is more than the {have} {what}",
                remedy="Lower data.split.folds, or add rows",
            )

    def _require_rows(self, folds: Folds) -> None:
        for fold in range(folds.count):
            if not len(folds.held_out(fold)):
                raise DataError(
                    f"data.split.folds={folds.count} leaves a fold without rows, since equal rows"
                    " stay together and there are too few different ones",
                    remedy="Lower data.split.folds, or add rows",
                )
            if not len(folds.trained(fold)):
                raise DataError(
                    f"data.split.gap={self.settings.gap:g} leaves no rows to train on beside fold"
                    f" {fold + 1} of {folds.count}",
                    remedy="Lower data.split.gap or data.split.folds",
                )


def check_classes(folds: Folds, codes: npt.NDArray[np.int64], info: TargetInfo) -> None:
    """Check that the model of each fold trains on every class.

    Args:
        folds: of the rows.
        codes: of the rows' classes.
        info: the target.

    Raises:
        DataError: a class has fewer rows than there are folds, or a fold's model would not see it.
    """
    counts = np.bincount(codes, minlength=len(info.classes))
    rarest = int(counts.argmin())
    if counts[rarest] < folds.count:
        raise DataError(
            f"data.split.folds={folds.count} is more than the {counts[rarest]} rows of class"
            f" {info.classes[rarest]!r} of column {info.name!r} that train and validate",
            remedy="Lower data.split.folds, or add rows of that class",
        )
    for fold in range(folds.count):
        seen = np.bincount(codes[folds.trained(fold)], minlength=len(info.classes))
        held = np.bincount(codes[folds.held_out(fold)], minlength=len(info.classes))
        if not seen.all():
            raise _lacks(fold, folds.count, info, int(seen.argmin()), "trains on")
        if task_type(info.task).needs_each_class and not held.all():
            raise _lacks(fold, folds.count, info, int(held.argmin()), "validates on")


def _lacks(fold: int, count: int, info: TargetInfo, code: int, verb: str) -> DataError:
    return DataError(
        f"fold {fold + 1} of {count} {verb} no row of class {info.classes[code]!r} of column"
        f" {info.name!r}",
        remedy="Lower data.split.folds, or set data.split.method=stratified",
    )


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Times as days, numbers as they are."""
    found: npt.NDArray[np.float64]
    if pa.types.is_timestamp(column.type):
        exact = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
        found = exact.to_numpy() / _DAY
    else:
        found = column.to_numpy().astype(np.float64)
    return found
