"""Predictions whose bits do not depend on the batch that a row comes in.

A product of matrices is computed by kernels that are chosen by the number of rows, and each adds
up in an order of its own; so a row's result differs in its last bits from one size of batch to
another. Here a batch is cut in tiles of a few sizes, the last one padded, for which the bits of a
row are the same in each place of each size. Whether they are is a matter of the processor, the
library and the model's widths. It is tried out on random rows when a model is loaded: an order of
addition depends on places and sizes and never on values, and two orders give other bits for a good
part of random rows. Sizes that disagree are not used; a tile of one row is left where all others
do.

Modules that are not rayml's own may mix rows, or choose by what they see, so that nothing can be
tried out; they get one row at a time.

Element-wise functions are evaluated by vector instructions but for the last few elements of an
array, whose bits may differ again. They are given arrays of one length.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rayml.models.layers.folded import Forward
from rayml.types import FeatureShape

BLOCK = 64
"""Rows that are decoded together, a multiple of any CPU's vectors of floats."""

_SIZES = (128, 64, 32, 16, 8, 4, 2)
_PROBES = 1024
_ORDERS = 3


class InvariantForward:
    """A model's forward pass, the same to the bit for a row whatever its batch.

    On a CPU it must always run with the same number of threads.

    Args:
        forward: maps float32 [rows, numeric columns] and int64 codes [rows, categorical columns]
            to [rows, outputs], or [members, rows, outputs].
        shape: of the features.
        device: where it runs.
        rows_apart: whether the model is one of rayml's own, none of whose rows sees another.

    Attributes:
        sizes: of tiles, largest first.
    """

    def __init__(
        self, forward: Forward, shape: FeatureShape, device: torch.device, *, rows_apart: bool
    ) -> None:
        self._forward = forward
        self.sizes: tuple[int, ...] = (1,)
        if rows_apart:
            self.sizes = self._agreeing(*_probe(shape, device)) or (1,)

    def __call__(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map a batch."""
        parts: list[Tensor] = []
        start, rows = 0, len(numeric)
        while start < rows or not parts:
            size = self._size(rows - start)
            stop = min(start + size, rows)
            part = self._tile(numeric[start:stop], categorical[start:stop], size)
            parts.append(part[..., : stop - start, :])
            start = stop
        return parts[0] if len(parts) == 1 else torch.cat(parts, -2)

    def _size(self, rows: int) -> int:
        """The size of the next tile: the largest that is filled, or the least that holds all."""
        if rows >= self.sizes[0]:
            return self.sizes[0]
        return next(size for size in reversed(self.sizes) if size >= rows)

    def _tile(self, numeric: Tensor, categorical: Tensor, size: int) -> Tensor:
        # Copied, since kernels may go by where in memory a row begins.
        numbers = numeric.new_zeros(size, numeric.shape[1])
        numbers[: len(numeric)] = numeric
        codes = categorical.new_zeros(size, categorical.shape[1])
        codes[: len(categorical)] = categorical
        return self._forward(numbers, codes)

    def _agreeing(self, numeric: Tensor, categorical: Tensor) -> tuple[int, ...]:
        """Sizes of tiles that give each row the bits that the largest among them gives."""
        generator = torch.Generator().manual_seed(1)
        orders = [torch.randperm(_PROBES, generator=generator) for _ in range(_ORDERS)]
        found: list[int] = []
        reference: Tensor | None = None
        for size in _SIZES:
            self.sizes = (size,)
            base = self(numeric, categorical) if reference is None else reference
            if all(self._agrees(numeric, categorical, order, base) for order in orders):
                reference = base
                found.append(size)
        return tuple(found)

    def _agrees(self, numeric: Tensor, categorical: Tensor, order: Tensor, base: Tensor) -> bool:
        order = order.to(numeric.device)
        again = self(numeric[order], categorical[order])
        return torch.equal(again, base[..., order, :])


def blocks(outputs: Tensor) -> Iterator[Tensor]:
    """Outputs [..., rows, outputs] in blocks of `BLOCK` rows, the last one padded with zeros."""
    for part in torch.split(outputs, BLOCK, -2):
        block = part.new_zeros(*part.shape[:-2], BLOCK, part.shape[-1])
        block[..., : part.shape[-2], :] = part
        yield block


@torch.inference_mode()
def _probe(shape: FeatureShape, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(_PROBES, shape.numeric, generator=generator)
    codes = [torch.randint(n, (_PROBES,), generator=generator) for n in shape.cardinalities]
    stacked = torch.stack(codes, 1) if codes else torch.zeros(_PROBES, 0, dtype=torch.int64)
    return numeric.to(device), stacked.to(device)
