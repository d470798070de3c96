"""Batches of a split that does not fit in memory, streamed from its Parquet files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rayml.errors import DataError
from rayml.train.loop.batches import CPU, Batch, epoch_generator, to_batch
from rayml.types import Examples, Features


@dataclass(frozen=True, slots=True)
class ParquetSplit:
    """A prepared split on disk.

    Attributes:
        files: its Parquet files, in order.
        decode: from rows of such a file to examples.
    """

    files: tuple[Path, ...]
    decode: Callable[[pa.Table], Examples]

    def parts(self) -> Iterator[Examples]:
        """The rows file by file, in the stored order."""
        for file in self.files:
            yield self.decode(pq.read_table(file))

    def read(self) -> Examples:
        """All rows at once, in the stored order."""
        parts = list(self.parts())
        features = Features(
            np.concatenate([each.features.numeric for each in parts]),
            np.concatenate([each.features.categorical for each in parts]),
        )
        return Examples(features, np.concatenate([each.target for each in parts]))


class ParquetBatches:
    """Batches that are read row group by row group and mixed in a buffer.

    A pass takes the row groups in a random order and draws its batches from a buffer of
    rows that is half refilled each time, so that neighbours on disk are spread over many
    batches without a second copy of the data.

    Args:
        split: where the rows are.
        batch_size: rows of a batch; the last one of a pass holds what is left.
        buffer_rows: rows in the buffer; a row group more may be in memory.
        device: to which each batch is copied.
        stretch: batches of an epoch; None makes it a pass over the split.

    Raises:
        DataError: the split is empty.
    """

    def __init__(
        self,
        split: ParquetSplit,
        batch_size: int,
        *,
        buffer_rows: int = 262_144,
        device: torch.device = CPU,
        stretch: int | None = None,
    ) -> None:
        self._split = split
        self._buffer_rows = max(buffer_rows, 2 * batch_size)
        self._device = device
        self._groups, self._total = _row_groups(split.files)
        if not self._total:
            raise DataError("a split has no rows", remedy="Check data.split and data.source")
        self._stretch = stretch
        self._batch_size = batch_size if stretch is None else min(batch_size, self._total)
        self.rows = self._total if stretch is None else stretch * self._batch_size
        self.steps = math.ceil(self.rows / self._batch_size)
        # Where the last stretch ended, and what goes on from there without reading it all again.
        self._open: tuple[tuple[int, int], Iterator[Batch]] | None = None

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """The batches of an epoch, see `Batches`."""
        if self._stretch is None:
            yield from self._pass(epoch_generator(seed, number))
            return
        opened, self._open = self._open, None
        going_on = opened is not None and opened[0] == (seed, number)
        batches = opened[1] if opened and going_on else self._endless(seed, number * self.rows)
        yield from itertools.islice(batches, self._stretch)
        self._open = (seed, number + 1), batches

    def _endless(self, seed: int, first: int) -> Iterator[Batch]:
        """Full batches of pass after pass, from a row on that is counted from the first pass."""
        number, skipped = divmod(first, self._total)
        size, held = self._batch_size, None
        while True:
            for read in self._pass(epoch_generator(seed, number)):
                count = len(read.target)
                if skipped >= count:
                    skipped -= count
                    continue
                rows, skipped = read.rows(skipped, count), 0
                if held is not None:
                    rows = Batch(*(torch.cat(parts) for parts in zip(held, rows, strict=True)))
                start = 0
                while start + size <= len(rows.target):
                    yield rows.rows(start, start + size)
                    start += size
                held = rows.rows(start, len(rows.target)) if start < len(rows.target) else None
            number += 1

    def _pass(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every row once, in a random order."""
        order = torch.randperm(len(self._groups), generator=generator).tolist()
        waiting: list[Batch] = []
        for index in order:
            waiting.append(self._read(index))
            held = sum(len(part.target) for part in waiting)
            if held >= self._buffer_rows:
                mixed = _mixed(waiting, generator)
                full = (held - self._buffer_rows // 2) // self._batch_size * self._batch_size
                yield from self._cut(mixed.rows(0, full))
                waiting = [mixed.rows(full, held)]
        yield from self._cut(_mixed(waiting, generator))

    def in_order(self) -> Iterator[Batch]:
        """Every row once, as stored; a batch does not cross row groups."""
        for index in range(len(self._groups)):
            yield from self._cut(self._read(index))

    def _read(self, index: int) -> Batch:
        file, group = self._groups[index]
        with pq.ParquetFile(file) as opened:
            return to_batch(self._split.decode(opened.read_row_group(group)))

    def _cut(self, rows: Batch) -> Iterator[Batch]:
        for start in range(0, len(rows.target), self._batch_size):
            batch = rows.rows(start, start + self._batch_size)
            yield Batch(*(part.to(self._device) for part in batch))


def _row_groups(files: Sequence[Path]) -> tuple[list[tuple[Path, int]], int]:
    groups: list[tuple[Path, int]] = []
    rows = 0
    for file in files:
        metadata = pq.read_metadata(file)
        rows += metadata.num_rows
        groups += [
            (file, index)
            for index in range(metadata.num_row_groups)
            if metadata.row_group(index).num_rows
        ]
    return groups, rows


def _mixed(parts: list[Batch], generator: torch.Generator) -> Batch:
    joined = Batch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
    return joined.take(torch.randperm(len(joined.target), generator=generator))
