"""Gives each row to train, validation or test by thresholds on a key of its own.

Each method is the same step with another key. `random` and `stratified` use a hash of the row's
content, `group` a hash of the group, `time` the time itself. Within a stratum the rows with the
smallest keys train, those with the largest test. So the split depends on the rows and the seed
alone, never on their order. Equal groups and equal times fall into the same split, so the fractions
are met as nearly as whole groups and times allow. Equal rows are divided if necessary, see
`rayml.data.split.ties`, and the fractions hold to the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.columns.hashing import Hashes, hash_rows, hash_values, mix
from rayml.data.columns.keys import KeyCounts, order_floats
from rayml.data.columns.schema import FeatureSchema
from rayml.data.columns.split_names import NO_SPLIT, SplitIndices, named_splits
from rayml.data.split.shares import Share, share_rows
from rayml.data.split.split_method import choose_method
from rayml.data.split.thresholds import KEY_ENTRIES, SplitCounts, Thresholds, cut, threshold
from rayml.data.split.ties import (
    Division,
    Ranges,
    Ties,
    before_each,
    divide,
    exact_counts,
    heavy_count,
    ranges_to_count,
    tally,
)
from rayml.errors import DataError, SchemaError
from rayml.settings.data import SplitSettings
from rayml.tasks.class_task import MAX_CLASSES
from rayml.tasks.table import task_type
from rayml.types import SPLITS, TaskName


class Splitter:
    """Splits typed rows by one method.

    Args:
        settings: the method.
        schema: of the rows.
        task: `stratified` needs classes.

    Raises:
        DataError: the method does not suit the task or its column, or leaves no rows to train.
    """

    def __init__(self, settings: SplitSettings, schema: FeatureSchema, task: TaskName) -> None:
        settings = choose_method(settings, task)
        self._settings = settings
        self._target = schema.target
        self._classes = task_type(task).has_classes
        if settings.method == "stratified" and not self._classes:
            raise DataError(
                f"data.split.method=stratified needs classes, and data.task={task} has none",
                remedy="Set data.split.method=random",
            )
        if settings.validation + settings.test >= 1 and settings.method != "given":
            raise DataError(
                f"data.split.validation={settings.validation} and data.split.test={settings.test}"
                " leave no rows to train on",
                remedy="Lower one of them",
            )
        if settings.method == "time":
            _check_time(schema, column_of(settings))

    def count(self, table: pa.Table) -> SplitCounts:
        """Count the keys of rows."""
        given = self._given(table)
        open_rows = self._open(given)
        stratum, key = self._strata(table)[open_rows], self._keys(table)[open_rows]
        strata = {
            int(value): KeyCounts.of(key[stratum == value], KEY_ENTRIES)
            for value in np.unique(stratum)
        }
        if len(strata) > MAX_CLASSES:
            raise _too_many_classes(self._target)
        train, validation, test = (int((given == split).sum()) for split in range(3))
        return SplitCounts(strata, (train, validation, test))

    def ranges(self, counts: SplitCounts) -> Ranges:
        """Ranges in which rows must be counted key by key before a plan is made; mostly none."""
        if not self._divides:
            return Ranges.none()
        strata, shares = self._shares(counts)
        return ranges_to_count([counts.strata[each] for each in strata], shares)

    def tally(self, table: pa.Table, ranges: Ranges) -> pa.Table:
        """Count the keys of rows in some ranges one by one, see `rayml.data.split.ties.TALLY`."""
        open_rows = self._open(self._given(table))
        return tally(self._strata(table)[open_rows], self._keys(table)[open_rows], ranges)

    def plan(self, counts: SplitCounts, tallies: Sequence[pa.Table] = ()) -> SplitPlan:
        """Choose the thresholds, and how equal rows are divided.

        Args:
            counts: of all rows.
            tallies: the counts in `ranges`, block by block.

        Raises:
            DataError: a split would be empty.
        """
        if len(counts.strata) > MAX_CLASSES:
            raise _too_many_classes(self._target)
        parts = self._divided(counts, tallies) if self._divides else self._undivided(counts)
        sizes = np.sum([part.sizes for part in parts.values()], axis=0, initial=0, dtype=np.int64)
        sizes = sizes + np.array([0, *counts.given[1:]])
        _check_sizes(sizes, self._settings)
        train, validation, test = (int(size) for size in sizes)
        if self._settings.folds:
            train, validation = train + validation, 0
        thresholds = {stratum: part.thresholds for stratum, part in parts.items()}
        ties = Ties.together([part.ties for part in parts.values()])
        return SplitPlan(self, thresholds, (train, validation, test), ties)

    @property
    def _divides(self) -> bool:
        return self._settings.method not in ("group", "time")

    def _fractions(self, counts: SplitCounts) -> tuple[float, float]:
        settings = self._settings
        test = 0.0 if settings.method == "given" else settings.test
        # Given validation rows leave all given training rows to training.
        return 0.0 if counts.given[1] else settings.validation, test

    def _shares(self, counts: SplitCounts) -> tuple[list[int], list[Share]]:
        strata = sorted(counts.strata)
        sizes = [counts.strata[each].total for each in strata]
        return strata, share_rows(sizes, *self._fractions(counts))

    def _divided(self, counts: SplitCounts, tallies: Sequence[pa.Table]) -> dict[int, Division]:
        strata, shares = self._shares(counts)
        exact = exact_counts(tallies) if tallies else {}
        rows = sum(keys.total for keys in counts.strata.values())
        return {
            each: divide(
                keys := counts.strata[each],
                share,
                exact.get(each, KeyCounts.of(np.empty(0, np.uint64), 1)),
                heavy_count(keys.total, rows),
            )
            for each, share in zip(strata, shares, strict=True)
        }

    def _undivided(self, counts: SplitCounts) -> dict[int, Division]:
        parts = {}
        for stratum, keys in counts.strata.items():
            ends = cut(keys, *self._fractions(counts))
            cumulated = np.r_[0, np.cumsum(keys.counts)]
            first, second = (int(cumulated[end]) for end in ends)
            limits = Thresholds(*(threshold(keys, end) for end in ends))
            parts[stratum] = Division(limits, Ties(), (first, second - first, keys.total - second))
        return parts

    def splits(
        self, table: pa.Table, thresholds: Mapping[int, Thresholds], ties: Ties
    ) -> SplitIndices:
        """Index of the split of each row, see `rayml.types.SPLITS`."""
        strata = np.array(sorted(thresholds), dtype=np.uint64)
        at = [thresholds[int(stratum)] for stratum in strata]
        given = self._given(table)
        stratum, key = self._strata(table), self._keys(table)
        # Rows of a given split may be of a stratum that has no rows to share out.
        place = np.minimum(np.searchsorted(strata, stratum), len(strata) - 1)
        after = np.array([limits.validation for limits in at], dtype=np.uint64)[place] <= key
        last = np.array([limits.test for limits in at], dtype=np.uint64)[place] <= key
        shared = (after.astype(np.int8) + last).astype(np.int8)
        open_rows = self._open(given)
        shared[open_rows] = ties.divide(key[open_rows], shared[open_rows])
        found: SplitIndices = np.where(open_rows, shared, given).astype(np.int8)
        # With folds validation rows train too, see `rayml.data.split.folds`.
        return np.where(found == 1, 0, found).astype(np.int8) if self._settings.folds else found

    def _given(self, table: pa.Table) -> SplitIndices:
        if self._settings.method != "given":
            return np.full(table.num_rows, NO_SPLIT, dtype=np.int8)
        return named_splits(table.column(column_of(self._settings)))

    def _open(self, given: SplitIndices) -> npt.NDArray[np.bool_]:
        # Given training rows are open, since validation rows may come from them.
        return given <= 0

    def _strata(self, table: pa.Table) -> Hashes:
        if self._settings.method == "stratified" or (
            self._settings.method == "given" and self._classes
        ):
            return hash_values(table.column(self._target))
        return np.zeros(table.num_rows, dtype=np.uint64)

    def _keys(self, table: pa.Table) -> Hashes:
        # Keys have 63 bits, so that 64 bits hold a threshold above every key.
        settings = self._settings
        if settings.method == "group":
            seed = mix(np.array([settings.seed % 2**64], dtype=np.uint64))
            return mix(hash_values(table.column(column_of(settings))) ^ seed) >> np.uint64(1)
        if settings.method == "time":
            return _ordered(table.column(column_of(settings))) >> np.uint64(1)
        return hash_rows(table, settings.seed) >> np.uint64(1)


@dataclass(frozen=True)
class SplitPlan:
    """A splitter with its thresholds, for all rows or for those of one block.

    Attributes:
        splitter: computes the keys.
        thresholds: by stratum.
        sizes: numbers of rows of train, validation and test.
        ties: keys whose rows are divided.
    """

    splitter: Splitter
    thresholds: Mapping[int, Thresholds]
    sizes: tuple[int, int, int]
    ties: Ties = field(default_factory=Ties)

    def splits(self, table: pa.Table) -> SplitIndices:
        """Index of the split of each row, see `rayml.types.SPLITS`."""
        return self.splitter.splits(table, self.thresholds, self.ties)

    def by_block(self, tallies: Sequence[pa.Table]) -> list[SplitPlan]:
        """The plan of each block, if rows are divided."""
        return [replace(self, ties=ties) for ties in before_each(tallies, self.ties)]


def column_of(settings: SplitSettings) -> str:
    """The column that a method reads.

    Raises:
        SchemaError: none is named.
    """
    if settings.column is None:
        raise SchemaError(
            f"data.split.method={settings.method} reads a column, and none is named",
            remedy="Name it in data.split.column",
        )
    return settings.column


def read_columns(settings: SplitSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a method reads: those that are not features, and those that may be.

    Raises:
        SchemaError: the method reads a column, and none is named.
    """
    if settings.method not in ("given", "group", "time"):
        return (), ()
    column = column_of(settings)
    return ((), (column,)) if settings.method == "time" else ((column,), ())


def _check_time(schema: FeatureSchema, name: str) -> None:
    kind = next(column.kind for column in schema.read() if column.name == name)
    if kind not in ("timestamp", "numeric"):
        raise SchemaError(
            f"column {name!r} is {kind}, and data.split.method=time reads times or numbers",
            remedy="Choose another data.split.column, or set its kind in data.schema.kinds",
        )


def _ordered(column: pa.ChunkedArray) -> Hashes:
    if pa.types.is_timestamp(column.type):
        times: Hashes = column.cast(pa.int64()).to_numpy().view(np.uint64)
        return times ^ np.uint64(1 << 63)
    return order_floats(column.to_numpy())


def _check_sizes(sizes: Sequence[int] | npt.NDArray[np.int64], settings: SplitSettings) -> None:
    idle = "validation" if settings.folds else None
    empty = [n for n, size in zip(SPLITS, sizes, strict=True) if not size and n != idle]
    if not empty:
        return
    remedy = (
        f"Add rows of it in column {settings.column!r}"
        if settings.method == "given"
        else "Add rows, or raise data.split.validation and data.split.test"
    )
    shown = ", ".join(f"{name} {size}" for name, size in zip(SPLITS, sizes, strict=True))
    raise DataError(f"the {empty[0]} split has no rows ({shown})", remedy=remedy)


def _too_many_classes(target: str) -> DataError:
    return DataError(
        f"the target {target!r} has more than {MAX_CLASSES} classes",
        remedy="Set data.task=regression, or merge rare classes",
    )
