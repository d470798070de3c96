"""Gives each row to train, validation or test by thresholds on a key of its own.

Every method is the same step with another key. `random` and `stratified` take a hash of the row's
content, `group` a hash of the group, `time` the time itself. Within a stratum the rows with the
smallest keys are for training, those with the largest for test. So the split depends on the rows
and the seed alone, never on their order; and equal rows, groups or times fall on the same side.

Thresholds lie where the fractions are met as nearly as undivided keys allow: exactly for distinct
keys, up to a million of them in a stratum; beyond that within one millionth or so of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayml.data.hashing import Hashes, hash_rows, hash_values, mix
from rayml.data.keys import KeyCounts, order_floats
from rayml.data.schema import FeatureSchema
from rayml.data.sides import NO_SIDE, Sides, given_sides
from rayml.data.target import MAX_CLASSES
from rayml.data.thresholds import KEY_ENTRIES, SplitCounts, Thresholds, cut, threshold
from rayml.errors import DataError, SchemaError
from rayml.types import SPLITS, SplitSettings, TaskName


class Splitter:
    """Splits typed rows by one method.

    Args:
        settings: the method.
        schema: of the rows.
        task: `stratified` needs classes.

    Raises:
        DataError: the method does not suit the task or its column, or leaves nothing to train.
    """

    def __init__(self, settings: SplitSettings, schema: FeatureSchema, task: TaskName) -> None:
        self._settings = settings
        self._target = schema.target
        self._classes = task != "regression"
        if settings.method == "stratified" and not self._classes:
            raise DataError(
                "a stratified split needs classes", value=task, remedy="Use split.method=random"
            )
        if settings.validation + settings.test >= 1 and settings.method != "given":
            raise DataError(
                "validation and test leave rows to train on",
                value=settings.validation + settings.test,
                remedy="Lower split.validation or split.test",
            )
        if settings.method == "time":
            _check_time(schema, column_of(settings))

    def count(self, table: pa.Table) -> SplitCounts:
        """Count the keys of rows."""
        sides = self._given(table)
        open_rows = self._open(sides)
        stratum, key = self._strata(table)[open_rows], self._keys(table)[open_rows]
        strata = {
            int(value): KeyCounts.of(key[stratum == value], KEY_ENTRIES)
            for value in np.unique(stratum)
        }
        if len(strata) > MAX_CLASSES:
            raise _too_many_classes(self._target)
        train, validation, test = (int((sides == side).sum()) for side in range(3))
        return SplitCounts(strata, (train, validation, test))

    def plan(self, counts: SplitCounts) -> SplitPlan:
        """Choose the thresholds.

        Raises:
            DataError: a split would be empty.
        """
        if len(counts.strata) > MAX_CLASSES:
            raise _too_many_classes(self._target)
        settings = self._settings
        test = 0.0 if settings.method == "given" else settings.test
        # Nothing is carved out of the training rows where validation rows are given.
        validation = 0.0 if counts.given[1] else settings.validation
        alone = len(counts.strata) == 1 and settings.method not in ("given", "stratified")
        thresholds, sizes = {}, np.zeros(3, dtype=np.int64)
        for stratum, keys in counts.strata.items():
            ends = cut(keys, validation, test, nonempty=alone)
            thresholds[stratum] = Thresholds(*(threshold(keys, end) for end in ends))
            cumulated = np.r_[0, np.cumsum(keys.counts)]
            sizes += np.diff([0, cumulated[ends[0]], cumulated[ends[1]], keys.total])
        sizes[1:] += counts.given[1:]
        _check_sizes(sizes, settings)
        train, validation, test = (int(size) for size in sizes)
        return SplitPlan(self, thresholds, (train, validation, test))

    def sides(self, table: pa.Table, thresholds: Mapping[int, Thresholds]) -> Sides:
        """Index of the split of each row, see `rayml.types.SPLITS`."""
        strata = np.array(sorted(thresholds), dtype=np.uint64)
        at = [thresholds[int(stratum)] for stratum in strata]
        sides = self._given(table)
        stratum, key = self._strata(table), self._keys(table)
        # Rows of a given side may be of a stratum that has no rows to share out.
        place = np.minimum(np.searchsorted(strata, stratum), len(strata) - 1)
        after = np.array([limits.validation for limits in at], dtype=np.uint64)[place] <= key
        last = np.array([limits.test for limits in at], dtype=np.uint64)[place] <= key
        shared = (after.astype(np.int8) + last).astype(np.int8)
        return np.where(self._open(sides), shared, sides).astype(np.int8)

    def _given(self, table: pa.Table) -> Sides:
        if self._settings.method != "given":
            return np.full(table.num_rows, NO_SIDE, dtype=np.int8)
        return given_sides(table.column(column_of(self._settings)))

    def _open(self, sides: Sides) -> npt.NDArray[np.bool_]:
        # Given training rows are open, since validation rows may be carved out of them.
        return sides <= 0

    def _strata(self, table: pa.Table) -> Hashes:
        if self._settings.method == "stratified" or (
            self._settings.method == "given" and self._classes
        ):
            return hash_values(table.column(self._target))
        return np.zeros(table.num_rows, dtype=np.uint64)

    def _keys(self, table: pa.Table) -> Hashes:
        # Keys have 63 bits, so that a threshold above every key is a key too.
        settings = self._settings
        if settings.method == "group":
            seed = mix(np.array([settings.seed % 2**64], dtype=np.uint64))
            return mix(hash_values(table.column(column_of(settings))) ^ seed) >> np.uint64(1)
        if settings.method == "time":
            return _ordered(table.column(column_of(settings))) >> np.uint64(1)
        return hash_rows(table, settings.seed) >> np.uint64(1)


@dataclass(frozen=True)
class SplitPlan:
    """A splitter with its thresholds.

    Attributes:
        splitter: computes the keys.
        thresholds: by stratum.
        sizes: numbers of rows of train, validation and test.
    """

    splitter: Splitter
    thresholds: Mapping[int, Thresholds]
    sizes: tuple[int, int, int]

    def sides(self, table: pa.Table) -> Sides:
        """Index of the split of each row, see `rayml.types.SPLITS`."""
        return self.splitter.sides(table, self.thresholds)


def column_of(settings: SplitSettings) -> str:
    """The column that a method reads.

    Raises:
        SchemaError: none is named.
    """
    if settings.column is None:
        raise SchemaError(
            f"split.method={settings.method} reads a column",
            value=None,
            remedy="Name it in split.column",
        )
    return settings.column


def _check_time(schema: FeatureSchema, name: str) -> None:
    kind = next(column.kind for column in schema.read() if column.name == name)
    if kind not in ("timestamp", "numeric"):
        raise SchemaError(
            "a split by time reads a timestamp or numeric column",
            value=f"{kind} column {name!r}",
            remedy="Choose another split.column, or set its kind in schema.kinds",
        )


def _ordered(column: pa.ChunkedArray) -> Hashes:
    if pa.types.is_timestamp(column.type):
        times: Hashes = column.cast(pa.int64()).to_numpy().view(np.uint64)
        return times ^ np.uint64(1 << 63)
    return order_floats(column.to_numpy())


def _check_sizes(sizes: Sequence[int] | npt.NDArray[np.int64], settings: SplitSettings) -> None:
    empty = [name for name, size in zip(SPLITS, sizes, strict=True) if not size]
    if not empty:
        return
    remedy = (
        f"Give rows of it in column {settings.column!r}"
        if settings.method == "given"
        else "Give more rows, or larger fractions in split.validation and split.test"
    )
    shown = ", ".join(f"{name} {size}" for name, size in zip(SPLITS, sizes, strict=True))
    raise DataError(f"each split has rows; {empty[0]} has none", value=shown, remedy=remedy)


def _too_many_classes(target: str) -> DataError:
    return DataError(
        f"a target is split by at most {MAX_CLASSES} classes",
        value=target,
        remedy="Set the task to regression, or another split.method",
    )
