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
        """Rows of an epoch, those counted again that it has again."""

    @property
    def steps(self) -> int:
        """Number of batches of an epoch."""

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """The batches of an epoch.

        A pass has every row once, in a random order that `epoch_generator` draws. Where epochs
        are stretches of a number of steps, pass follows pass, and each batch is full.

        Args:
            seed: of the trial.
            number: of the epoch, from 0.
        """

    def in_order(self) -> Iterator[Batch]:
        """Every row once, in the order that they are stored."""


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """What draws the order of a trial's pass, from 0: the same one alone, in a lane, resumed."""
    # PyTorch mixes a seed well enough for neighbouring ones; one word holds both.
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


class Orders:
    """Random orders of rows, epoch by epoch, drawn by `epoch_generator`.

    An epoch is a pass over the rows, or a stretch that goes on where the one before it ended, from
    pass to pass.

    Args:
        total: rows of a pass.
        rows: of an epoch; a pass that has more leaves some out.
        device: of the orders.
        passes: whether each epoch is a pass.
    """

    def __init__(self, total: int, rows: int, device: torch.device, *, passes: bool) -> None:
        self._total = total
        self._rows = rows
        self._device = device
        self._passes = passes
        self._last: tuple[tuple[int, int], Tensor] | None = None

    def order(self, seed: int, number: int) -> Tensor:
        """Places of the rows of an epoch, int64 [rows].

        Args:
            seed: of the trial.
            number: of the epoch, from 0.
        """
        if self._passes:
            return self._pass(seed, number)[: self._rows]
        place, skipped = divmod(number * self._rows, self._total)
        parts = [self._pass(seed, place)[skipped:]]
        while (missing := self._rows - sum(map(len, parts))) > 0:
            place += 1
            parts.append(self._pass(seed, place)[:missing])
        return torch.cat(parts)[: self._rows]

    def _pass(self, seed: int, place: int) -> Tensor:
        # Kept, as the next stretch mostly begins in the pass that this one ended in.
        if self._last is None or self._last[0] != (seed, place):
            order = torch.randperm(self._total, generator=epoch_generator(seed, place))
            self._last = (seed, place), order.to(self._device)
        return self._last[1]


class ArrayBatches:
    """Batches of examples that lie in memory.

    A batch is gathered when it is due. On a CPU that costs about as much as one permuted copy
    of the split an epoch would, without its memory, and leaves the arrays shared between
    processes.

    Args:
        examples: of one split.
        batch_size: rows of a batch; the last one of a pass holds what is left.
        device: to which the split is copied once; on the CPU it is not copied.
        stretch: batches of an epoch; None makes it a pass over the split.

    Attributes:
        rows: of an epoch.
        steps: number of batches of an epoch.
        device: of the batches.

    Raises:
        DataError: the split is empty.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        device: torch.device = CPU,
        *,
        stretch: int | None = None,
    ) -> None:
        if not len(examples):
            raise DataError("a split has no rows", remedy="Check data.split and data.source")
        self._all = to_batch(examples, device)
        self._total = len(examples)
        self._batch_size = batch_size if stretch is None else min(batch_size, self._total)
        self.device = device
        self.rows = self._total if stretch is None else stretch * self._batch_size
        self.steps = math.ceil(self.rows / self._batch_size)
        self._orders = Orders(self._total, self.rows, device, passes=stretch is None)

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """The batches of an epoch, see `Batches`."""
        yield from self.along(self.order(seed, number))

    def along(self, order: Tensor) -> Iterator[Batch]:
        """The rows that an int64 index names, in its order."""
        for start in range(0, len(order), self._batch_size):
            yield self._all.take(order[start : start + self._batch_size])

    def take(self, index: Tensor) -> Batch:
        """The rows that an int64 index names, at once."""
        return self._all.take(index)

    def order(self, seed: int, number: int) -> Tensor:
        """The rows of an epoch in a random order, int64 [rows]; see `Orders`."""
        return self._orders.order(seed, number)

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
        for start in range(0, self._total, size):
            yield self._all.rows(start, start + size)


def to_batch(examples: Examples, device: torch.device = CPU) -> Batch:
    """Examples as tensors; on the CPU they share the arrays' memory."""
    features = examples.features
    parts = (features.numeric, features.categorical, examples.target)
    return Batch(*(as_tensor(part).to(device) for part in parts))
