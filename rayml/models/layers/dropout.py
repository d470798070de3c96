"""Dropout whose mask is a function of a key, so that a trial drops the same units anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayml.errors import ConfigError

_WORD = 2**32
_ROW, _MIX = 0x9E3779B9 - _WORD, 0x297A2D39


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) with counter-based random numbers.

    Probability and key are tensors, not constants: models that are stacked and run by
    `torch.vmap` each drop with their own probability, and by their own key the very units
    that they would drop alone. A stateful generator gives neither, and costs more on a CPU.
    The numbers are a hash of key, row and column, after Salmon et al., "Parallel random
    numbers: as easy as 1, 2, 3" (2011), but mixed only as well as masks need: a number is the
    product, modulo 2^32, of a hash of key and row with a random odd number of the column. The
    tests hold masks to the spectrum of random matrices, and units to no correlation.

    A layer that is made with p = 0 is left out of the computation.

    Args:
        units: columns of the input.
        p: probability of dropping a unit, in [0, 1).

    Attributes:
        limit: int32 scalar; a unit is kept if its number is not smaller.
        scale: float32 scalar, of the units that are kept.
        key: int32 scalar; a new one draws a new mask, see `set_dropout_keys`.
        shared_buffers: are the same in stacked models.
        lane_attributes: may differ between stacked models.

    Raises:
        ConfigError: p lies outside [0, 1).
    """

    shared_buffers = ("columns",)
    lane_attributes = ("active",)

    limit: torch.Tensor
    scale: torch.Tensor
    key: torch.Tensor
    columns: torch.Tensor

    def __init__(self, units: int, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ConfigError(
                "a dropout probability is outside of [0, 1)",
                found=p,
                remedy="Set it to 0 or more, and less than 1",
            )
        self.active = p > 0
        columns = torch.tensor([_hashed(0, unit) | 1 for unit in range(units)], dtype=torch.int32)
        limit = torch.tensor(int(p * _WORD) - _WORD // 2, dtype=torch.int32)
        for name, value in {
            "limit": limit,
            "scale": torch.tensor(1 / (1 - p)),
            "key": torch.zeros((), dtype=torch.int32),
            "columns": columns,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop units of `x`, [..., rows, units], and scale the others up, while training.

        With a limit, a scale and a key for each lane `x` is [lanes, rows, units].
        """
        if not (self.training and self.active):
            return x
        row = row_numbers(self.key, x.shape[-2], x.device)
        number = row.unsqueeze(-1) * self.columns
        limit, scale = self.limit[..., None, None], self.scale[..., None, None]
        if self.key.dim():
            # 1 or 0 as an integer, then a float: a mask of bools costs a CPU five times as much.
            return x * number.ge_(limit).to(x.dtype).mul_(scale)
        # `torch.vmap` has no rule for that.
        return x * torch.where(number >= limit, scale, 0.0)


def row_numbers(key: torch.Tensor, rows: int, device: torch.device) -> torch.Tensor:
    """Hash of each key, int32 [...], and each row: odd numbers, int32 [..., rows]."""
    row = torch.arange(0, rows, dtype=torch.int32, device=device)
    row = torch.add(key.unsqueeze(-1), row, alpha=_ROW)  # wraps around, as a hash should
    return (row ^ (row >> 15)) * _MIX | 1


def set_dropout_keys(layers: Iterable[Dropout], seed: int, step: int) -> None:
    """Give each `Dropout` layer of a model its key of a training step.

    Args:
        layers: in the order of the model's modules.
        seed: of the trial.
        step: counted over all epochs; a resumed trial goes on with the masks it would have had.
    """
    for index, layer in enumerate(layers):
        layer.key.fill_(_hashed(seed, step, index))


def dropout_keys(
    seeds: Sequence[int], first: Sequence[int], steps: int, layers: int
) -> npt.NDArray[np.int32]:
    """The keys that `set_dropout_keys` gives, for many trials and steps at once.

    Args:
        seeds: of the trials.
        first: step of each trial that the first key is for.
        steps: how many steps follow one another.
        layers: number of `Dropout` layers.

    Returns:
        int32 [steps, layers, trials].
    """
    seed = np.array([each % 2**64 for each in seeds], np.uint64)
    step = np.array(first, np.uint64) + np.arange(steps, dtype=np.uint64)[:, None, None]
    layer = np.arange(layers, dtype=np.uint64)[:, None]
    word = np.zeros((steps, layers, len(seeds)), np.uint64)
    for part in (seed, step, layer):
        word = _mixed(word + part + np.uint64(0x9E3779B97F4A7C15))
    return (word >> np.uint64(32)).astype(np.uint32).view(np.int32) ^ np.int32(-(_WORD // 2))


def _mixed(word: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _hashed(*parts: int) -> int:
    """Hash of some integers into an int32 (SplitMix64, Steele et al. 2014)."""
    word = 0
    for part in parts:
        word = (word + part + 0x9E3779B97F4A7C15) & (2**64 - 1)
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        word ^= word >> 31
    return (word >> 32) - _WORD // 2
