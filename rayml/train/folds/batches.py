"""Batches of the rows of folds: each fold has its own rows to train on and to validate on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rayml.data.split.folds import Folds, Indices
from rayml.train.loop.batches import CPU, ArrayBatches, Batch, Orders
from rayml.types import Examples


class FoldBatches:
    """Rows of which each fold holds out some.

    An epoch has as many steps in every fold, so that folds are lanes of one stacked model: it takes
    as many rows as the fold with the fewest has, at random of those that have more. Folds mostly
    differ by one row.

    Args:
        examples: all rows.
        folds: of the rows.
        batch_size: rows of a training batch.
        device: to which the rows are copied once.
        stretch: batches of an epoch, which go on from pass to pass; None makes it a pass.

    Attributes:
        whole: all rows.
        count: number of folds.
        rows: that an epoch trains on.
        steps: of an epoch.
        held: places of the rows that each fold holds out.
    """

    def __init__(
        self,
        examples: Examples,
        folds: Folds,
        batch_size: int,
        device: torch.device = CPU,
        *,
        stretch: int | None = None,
    ) -> None:
        self.count = folds.count
        self._trained = [_index(folds.trained(fold), device) for fold in range(folds.count)]
        self.held = [_index(folds.held_out(fold), device) for fold in range(folds.count)]
        least = min(map(len, self._trained))
        size = batch_size if stretch is None else min(batch_size, least)
        self.whole = ArrayBatches(examples, size, device)
        self.rows = least if stretch is None else stretch * size
        self.steps = math.ceil(self.rows / size)
        self._orders = [
            Orders(len(each), self.rows, device, passes=stretch is None) for each in self._trained
        ]

    def order(self, fold: int, seed: int, number: int) -> Tensor:
        """The rows of an epoch of a fold in a random order, int64 [rows]; see `Orders`."""
        return self._trained[fold][self._orders[fold].order(seed, number)]

    def held_out(self, rows: int) -> Iterator[tuple[Tensor, Batch]]:
        """The rows that are held out, so many of each fold at a time.

        Yields:
            The number of rows of each fold in a batch, and the batch, [folds, rows, ...]; a fold
            that has fewer is filled up with its last row.
        """
        lengths = torch.tensor([len(each) for each in self.held])
        padded = torch.stack([_filled(each, int(lengths.max())) for each in self.held])
        for start in range(0, padded.shape[1], rows):
            part = padded[:, start : start + rows]
            taken = self.whole.take(part.flatten())
            batch = Batch(*(each.view(*part.shape, *each.shape[1:]) for each in taken))
            yield (lengths - start).clamp(0, part.shape[1]), batch


@dataclass(frozen=True)
class FoldEpochs:
    """The training rows of one fold, for a model that trains alone; see `FoldBatches`."""

    batches: FoldBatches
    fold: int

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return self.batches.rows

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.batches.steps

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """The rows of an epoch."""
        return self.batches.whole.along(self.batches.order(self.fold, seed, number))

    def in_order(self) -> Iterator[Batch]:
        """Rows of an epoch in some order, which does not change."""
        return self.epoch(0, 0)


def _index(places: Indices, device: torch.device) -> Tensor:
    return torch.from_numpy(places).to(device)


def _filled(index: Tensor, length: int) -> Tensor:
    return torch.cat([index, index[-1:].expand(length - len(index))])
