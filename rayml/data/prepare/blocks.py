"""The steps of preparing that workers apply to a block of rows, as functions of Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayml.data.advice.repeated import STATE, hashes
from rayml.data.columns.hashing import hash_rows
from rayml.data.columns.origin import KEY, MALFORMED, ORDER, RESERVED, check_names
from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.observe import observe, observe_target
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.rows.coerce import Coercer
from rayml.data.rows.quarantine import BadRows
from rayml.data.split.dealing import FOLD_KEYS, Dealer
from rayml.data.split.split import SplitPlan, Splitter
from rayml.data.split.thresholds import SplitCounts
from rayml.data.split.ties import Ranges
from rayml.data.text.reader import TextReader
from rayml.types import SPLITS, TaskName

# The order of prepared rows: the split in the leading bits, then a hash of the row's content.
_HASH_BITS = 61


def split_start(split: int, share: float = 0.0) -> int:
    """The order of the first row of a split, or of the row that lies a share of its rows later."""
    return (split << _HASH_BITS) + int(share * 2**_HASH_BITS)


@dataclass(frozen=True)
class Sample:
    """Takes the rows with the smallest hashes, which do not depend on the division in blocks."""

    rows: int

    def __call__(self, raw: pa.Table) -> pa.Table:
        """The sampled rows of a block, with their hashes as a column `KEY`."""
        if MALFORMED in raw.column_names:
            raw = raw.filter(raw.column(MALFORMED).is_null())
        content = raw.drop_columns([name for name in RESERVED if name in raw.column_names])
        check_names(content.column_names)
        keyed = content.append_column(KEY, pa.array(hash_rows(content)))
        return self.smallest(keyed)

    def smallest(self, keyed: pa.Table) -> pa.Table:
        """The sampled rows among rows with hashes, in the order of the hashes."""
        return keyed.take(pc.sort_indices(keyed, sort_keys=[(KEY, "ascending")])[: self.rows])


@dataclass(frozen=True)
class Count:
    """Counts the keys for the split, and the bad rows."""

    coerce: Coercer
    splitter: Splitter

    def __call__(self, raw: pa.Table) -> pa.Table:
        """One row that holds both counts; `read` reads it."""
        good, bad = self.coerce(raw)
        bad_rows = BadRows.of(bad)
        return pa.table(
            {
                "rows": [raw.num_rows],
                "split": [_packed(self.splitter.count(good).to_table())],
                "reasons": [list(bad_rows.counts)],
                "bad": [list(bad_rows.counts.values())],
                "first": [_packed(bad_rows.first)],
            },
            schema=_COUNT,
        )

    @staticmethod
    def read(counts: pa.Table) -> Iterator[tuple[int, SplitCounts, BadRows]]:
        """Number of rows, counts for the split and bad rows of each block."""
        for row in counts.to_pylist():
            reasons = dict(zip(row["reasons"], row["bad"], strict=True))
            bad = BadRows(reasons, _unpacked(row["first"]))
            yield row["rows"], SplitCounts.from_table(_unpacked(row["split"])), bad


_COUNT = pa.schema(
    [
        ("rows", pa.int64()),
        ("split", pa.binary()),
        ("reasons", pa.list_(pa.string())),
        ("bad", pa.list_(pa.int64())),
        ("first", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Tally:
    """Counts equal rows that the split may divide."""

    coerce: Coercer
    splitter: Splitter
    ranges: Ranges

    def __call__(self, raw: pa.Table) -> pa.Table:
        """See `Splitter.tally`."""
        return self.splitter.tally(self.coerce(raw)[0], self.ranges)


@dataclass(frozen=True)
class Bad:
    """Selects the bad rows."""

    coerce: Coercer

    def __call__(self, raw: pa.Table) -> pa.Table:
        """Bad rows, see `rayml.data.rows.coerce.BAD_ROWS`."""
        return self.coerce(raw)[1]


@dataclass(frozen=True)
class Place:
    """Types the good rows and gives each its place in the order of prepared rows."""

    coerce: Coercer
    plan: SplitPlan
    seed: int

    def __call__(self, raw: pa.Table) -> pa.Table:
        """Good rows with a column `ORDER`."""
        good, _ = self.coerce(raw)
        hashes = (hash_rows(good, self.seed) >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
        splits = self.plan.splits(good).astype(np.int64)
        return good.append_column(ORDER, pa.array((splits << _HASH_BITS) | hashes))


@dataclass(frozen=True)
class Sort:
    """Sorts placed rows."""

    def __call__(self, placed: pa.Table) -> pa.Table:
        """The rows of the block in their order."""
        return placed.sort_by(ORDER)


@dataclass(frozen=True)
class Observe:
    """Aggregates the training rows, and the target alone of the other splits."""

    schema: FeatureSchema
    task: TaskName
    texts: Mapping[str, TextReader] = field(default_factory=dict)

    def __call__(self, placed: pa.Table) -> pa.Table:
        """State of `Statistics`, with the split and the place of its first row."""
        states = []
        for split, first, rows in _by_split(placed):
            if split == 0:
                seen = observe(rows, self.schema, self.task, self.texts)
            else:
                seen = observe_target(rows, self.schema, self.task)
            state = seen.to_table()
            state = state.append_column("split", pa.repeat(split, state.num_rows))
            states.append(state.append_column("first", pa.repeat(first, state.num_rows)))
        return pa.concat_tables(states)


@dataclass(frozen=True)
class Some:
    """Takes every n-th row of each split.

    Attributes:
        steps: n by split; 0 takes no row of it.
    """

    steps: tuple[int, int, int]

    def __call__(self, placed: pa.Table) -> pa.Table:
        """These of the sorted rows, with their column `ORDER`."""
        order = placed.column(ORDER).to_numpy()
        ends = np.searchsorted(order, [split_start(split) for split in range(len(SPLITS) + 1)])
        taken = [
            np.arange(start, end, step) if step else np.empty(0, np.int64)
            for start, end, step in zip(ends[:-1], ends[1:], self.steps, strict=True)
        ]
        return placed.take(pa.array(np.concatenate(taken)))


@dataclass(frozen=True)
class Hash:
    """Hashes the rows of each split over features and target, to compare the splits."""

    names: tuple[str, ...]
    below: int

    def __call__(self, placed: pa.Table) -> pa.Table:
        """See `rayml.data.advice.repeated.STATE`."""
        parts = [
            hashes(rows.select(self.names), split, self.below)
            for split, _, rows in _by_split(placed)
        ]
        return pa.concat_tables([STATE.empty_table(), *parts])


@dataclass(frozen=True)
class FoldKeys:
    """What the rows that train are dealt into folds by."""

    dealer: Dealer

    def __call__(self, placed: pa.Table) -> pa.Table:
        """See `rayml.data.split.dealing.FOLD_KEYS`; with the place of the block's first row."""
        parts = [
            self.dealer.keys(rows).append_column("first", pa.repeat(first, rows.num_rows))
            for split, first, rows in _by_split(placed)
            if split == 0
        ]
        empty = FOLD_KEYS.append(pa.field("first", pa.int64())).empty_table()
        return pa.concat_tables([empty, *parts])


@dataclass(frozen=True)
class Write:
    """Transforms sorted rows and writes them as Parquet, a file for each split and block."""

    preprocessor: Preprocessor
    folder: Path

    def __call__(self, placed: pa.Table) -> pa.Table:
        """The written files, with split and number of rows."""
        written = []
        for split, first, rows in _by_split(placed):
            # Named by the place of the first row, so that sorted names are in order.
            name = f"{SPLITS[split]}/{first:016x}.parquet"
            self._write_examples(rows, self.folder / "examples" / name)
            groups = self.preprocessor.schema.groups
            if groups:
                path = self.folder / "groups" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(rows.select(groups), path)
            written.append({"split": SPLITS[split], "file": name, "rows": rows.num_rows})
        return pa.Table.from_pylist(written)

    def _write_examples(self, rows: pa.Table, path: Path) -> None:
        fitted = self.preprocessor
        features = fitted.transform_batch(rows)
        columns: dict[str, Any] = {
            feature.name: features.numeric[:, i]
            for i, feature in enumerate(fitted.numeric_features)
        }
        codes = [feature.name for feature in fitted.categorical_features]
        for i, name in enumerate(codes):
            columns[name] = features.categorical[:, i].astype(np.int32)
        columns[fitted.target.name] = fitted.encode_target(rows.column(fitted.target.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, use_dictionary=codes)


def _by_split(placed: pa.Table) -> Iterator[tuple[int, int, pa.Table]]:
    """Index of the split, place of the first row, and rows, of each split in sorted rows."""
    order = placed.column(ORDER).to_numpy()
    for split in range(len(SPLITS)):
        start, end = np.searchsorted(order, [split_start(split), split_start(split + 1)])
        if end > start:
            yield split, int(order[start]), placed.slice(start, end - start).drop_columns([ORDER])


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _unpacked(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()
