"""Batches of prepared examples: how rows reach a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rayml.errors import DataError
from rayml.models.modules.arrays import as_tensor
from rayml.types import Examples

CPU = torch.device("cpu")


class Batch(NamedTuple):
    """Rows as tensors on one device.

    Attributes:
        numeric: float32 [rows, numeric columns].
        categorical: int64 codes [rows, categorical columns].
        target: [rows], int64 class codes or float32 standardised values.
    """

    numeric: Tensor
    categorical: Tensor
    target: Tensor

    def take(self, index: Tensor) -> Batch:
        """The rows that an int64 index names, in its order."""
        return Batch(*(part.index_select(0, index) for part in self))

    def rows(self, start: int, stop: int) -> Batch:
        """A range of rows, as views."""
        return Batch(*(part[start:stop] for part in self))


class Batches(Protocol):
    """A split that can be walked through again and again."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def steps(self) -> int:
        """Number of batches of an epoch."""

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every row once, in an order that the generator (on the CPU) draws."""

    def in_order(self) -> Iterator[Batch]:
        """Every row once, in the order that they are stored."""


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """What draws the order of a trial's epoch, from 0: the same one alone, in a lane, resumed."""
    # PyTorch mixes a seed well enough for neighbouring ones; one word holds both.
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


class ArrayBatches:
    """Batches of examples that lie in memory.

    A batch is gathered when it is due. On a CPU that costs about as much as one permuted copy
    of the split an epoch would, without its memory, and leaves the arrays shared between
    processes.

    Args:
        examples: of one split.
        batch_size: rows of a batch; the last one of an epoch holds what is left.
        device: to which the split is copied once; on the CPU it is not copied.

    Attributes:
        rows: number of rows.
        steps: number of batches of an epoch.
        device: of the batches.

    Raises:
        DataError: the split is empty.
    """

    def __init__(self, examples: Examples, batch_size: int, device: torch.device = CPU) -> None:
        if not len(examples):
            raise DataError("a split has no rows", remedy="Check data.split and data.source")
        self._all = to_batch(examples, device)
        self._batch_size = batch_size
        self.device = device
        self.rows = len(examples)
        self.steps = math.ceil(self.rows / batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every row once, in a random order."""
        yield from self.along(self.order(generator))

    def along(self, order: Tensor) -> Iterator[Batch]:
        """The rows that an int64 index names, in its order."""
        for start in range(0, len(order), self._batch_size):
            yield self._all.take(order[start : start + self._batch_size])

    def take(self, index: Tensor) -> Batch:
        """The rows that an int64 index names, at once."""
        return self._all.take(index)

    def order(self, generator: torch.Generator) -> Tensor:
        """The rows of an epoch in a random order, int64 [rows]."""
        return torch.randperm(self.rows, generator=generator).to(self._all.target.device)

    def lanes(self, orders: Tensor) -> Iterator[Batch]:
        """Batches of stacked models, each with an order of its own.

        Args:
            orders: int64 [lanes, rows].

        Yields:
            Batches whose parts have the shape [lanes, rows of the batch, ...].
        """
        for start in range(0, orders.shape[1], self._batch_size):
            index = orders[:, start : start + self._batch_size]
            taken = self._all.take(index.flatten())
            yield Batch(*(part.view(*index.shape, *part.shape[1:]) for part in taken))

    def in_order(self, rows: int | None = None) -> Iterator[Batch]:
        """Every row once, as stored, so many at a time; None takes the batch size."""
        size = rows or self._batch_size
        for start in range(0, self.rows, size):
            yield self._all.rows(start, start + size)


def to_batch(examples: Examples, device: torch.device = CPU) -> Batch:
    """Examples as tensors; on the CPU they share the arrays' memory."""
    features = examples.features
    parts = (features.numeric, features.categorical, examples.target)
    return Batch(*(as_tensor(part).to(device) for part in parts))
