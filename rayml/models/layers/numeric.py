"""Embeddings of numeric features: each number as a vector of its own, before it meets the others.

They are those of Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular
Deep Learning" (2022). Parameters may be stacked, [lanes, ...] each, so that many models run as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.types import MOST_BINS, FeatureShape

NumericKind = Literal["none", "plr", "plr_lite", "piecewise"]
KINDS: tuple[NumericKind, ...] = ("none", "plr", "plr_lite", "piecewise")

Vectors = Callable[[Tensor], Tensor]
"""Maps float32 [rows, columns] to [rows, width]."""


@dataclass(frozen=True)
class NumericOptions:
    """How numbers enter a network.

    Attributes:
        kind: `none` leaves a number as it is; `plr` gives it the sines and cosines of learned
            frequencies, a linear layer of its own and ReLU; `plr_lite` one linear layer for all
            columns; `piecewise` says by bins of the training quantiles how much of each lies
            below the number, and adds a linear layer of its own.
        width: of a number's vector.
        frequencies: of `plr` and `plr_lite`, a column.
        sigma: standard deviation of the frequencies at the start.
        bins: of `piecewise`, a column, at most; equal quantiles make one edge.

    Raises:
        ConfigError: a value is out of its range.
    """

    kind: NumericKind = "none"
    width: int = 16
    frequencies: int = 32
    sigma: float = 0.1
    bins: int = 32

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                "model.numeric is no known kind of numeric embedding",
                found=self.kind,
                remedy=f"Take one of {', '.join(KINDS)}",
            )
        ranges = {
            "numeric_width": (self.width, 1, None),
            "frequencies": (self.frequencies, 1, None),
            "bins": (self.bins, 1, MOST_BINS),
        }
        for name, (value, low, high) in ranges.items():
            if value < low or (high is not None and value > high):
                limit = f"{low} or more" if high is None else f"a number from {low} to {high}"
                raise ConfigError(
                    f"model.{name} is out of range", found=value, remedy=f"Set it to {limit}"
                )
        if not 0 < self.sigma < math.inf:
            raise ConfigError(
                "model.sigma is no positive number",
                found=self.sigma,
                remedy="Set it to some value such as 0.1",
            )


def numeric_embedding(
    shape: FeatureShape, options: NumericOptions
) -> PeriodicEmbedding | PiecewiseEmbedding | None:
    """The embedding of a model's numbers; None if they stay as they are, or there are none.

    Raises:
        ConfigError: `piecewise`, and the shape has no quantiles of the columns.
    """
    if options.kind == "none" or not shape.numeric:
        return None
    if options.kind == "piecewise":
        return PiecewiseEmbedding(shape, options.width, options.bins)
    return PeriodicEmbedding(
        shape.numeric,
        options.width,
        options.frequencies,
        options.sigma,
        lite=options.kind == "plr_lite",
    )


class PeriodicEmbedding(nn.Module):
    """ReLU(Linear([sin(2 pi c x), cos(2 pi c x)])) with learned frequencies c of each column.

    Args:
        columns: number of numeric features.
        width: of a number's vector.
        frequencies: a column.
        sigma: standard deviation of the frequencies at the start, cut at three of it.
        lite: whether all columns share the linear layer.

    Attributes:
        width: of the result, [rows, width].
    """

    def __init__(
        self, columns: int, width: int, frequencies: int, sigma: float, *, lite: bool
    ) -> None:
        super().__init__()
        self.width = columns * width
        self.lite = lite
        own = () if lite else (columns,)
        bound = (2 * frequencies) ** -0.5
        start = torch.empty(columns, frequencies).normal_().clamp_(-3, 3).mul_(sigma)
        self.frequencies = nn.Parameter(start)
        weight = torch.empty(*own, 2 * frequencies, width).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(*own, width).uniform_(-bound, bound))

    @property
    def trained(self) -> list[Tensor]:
        """Its parameters in their order, stacked or not."""
        return [self.frequencies, self.weight, self.bias]

    def forward(self, numeric: Tensor) -> Tensor:
        """Embed [..., rows, columns] as [..., rows, width]; [lanes, rows, width] if stacked."""
        angles = numeric.mT.unsqueeze(-1) * (2 * math.pi * self.frequencies).unsqueeze(-2)
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        return _side_by_side(self._linear(waves).relu())

    def _linear(self, waves: Tensor) -> Tensor:
        """Map [..., columns, rows, waves] to [..., columns, rows, width]."""
        if not self.lite:
            return waves @ self.weight + self.bias.unsqueeze(-2)
        flat = waves.flatten(-3, -2) @ self.weight + self.bias.unsqueeze(-2)
        return flat.view(*flat.shape[:-2], *waves.shape[-3:-1], -1)

    def folded(self, linear: nn.Linear) -> tuple[Vectors, nn.Linear]:
        """What maps numbers in a trained model, and the layer that takes its result."""
        turns = (2 * math.pi * self.frequencies.detach()).unsqueeze(-2)
        weight, bias = self.weight.detach(), self.bias.detach()
        count = turns.shape[-1]
        if self.lite:
            weight, bias = weight.expand(len(turns), -1, -1), bias.expand(len(turns), -1)
        weight, bias = weight.contiguous(), bias.unsqueeze(-2).contiguous()

        def vectors(numeric: Tensor) -> Tensor:
            angles = numeric.mT.unsqueeze(-1) * turns
            waves = angles.new_empty(*angles.shape[:-1], 2 * count)
            torch.sin(angles, out=waves[..., :count])
            torch.cos(angles, out=waves[..., count:])
            return _side_by_side(torch.baddbmm(bias, waves, weight).relu_())

        return vectors, linear


class PiecewiseEmbedding(nn.Module):
    """Linear([x, piecewise-linear encoding of x]), a linear layer of its own for each column.

    An encoding has a number a bin: 0 below the bin, 1 above it, and the share of its width that
    lies below x within it. The encoding's weights start with zero, so that a network begins with
    plain numbers, as in Gorishniy et al., "TabM" (2025), which has no ReLU behind them either.

    Args:
        shape: of the features, with the quantiles of the columns.
        width: of a number's vector.
        bins: a column, at most.

    Attributes:
        width: of the result, [rows, width].
        shared_buffers: are the same in stacked models.

    Raises:
        ConfigError: the shape has no quantiles.
    """

    shared_buffers = ("left", "scale")

    left: Tensor
    scale: Tensor

    def __init__(self, shape: FeatureShape, width: int, bins: int) -> None:
        super().__init__()
        if len(shape.knots) != shape.numeric:
            raise ConfigError(
                "model.numeric is piecewise, and the prepared data have no quantiles for its bins:"
                " an older rayml prepared them, or they have more than 1,000 numeric features",
                remedy="Prepare the data again, or set model.numeric=plr_lite",
            )
        self.width = shape.numeric * width
        left, scale = _ramps([edges(knots, bins) for knots in shape.knots], bins)
        self.register_buffer("left", torch.tensor(left))
        self.register_buffer("scale", torch.tensor(scale))
        bound = width**-0.5
        weight = torch.zeros(shape.numeric, 1 + bins, width)
        weight[:, 0].uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(shape.numeric, width).uniform_(-bound, bound))

    @property
    def trained(self) -> list[Tensor]:
        """Its parameters in their order, stacked or not."""
        return [self.weight, self.bias]

    def forward(self, numeric: Tensor) -> Tensor:
        """Embed [..., rows, columns] as [..., rows, width]; [lanes, rows, width] if stacked."""
        coded = self._coded(numeric)
        return _side_by_side(coded @ self.weight + self.bias.unsqueeze(-2))

    def _coded(self, numeric: Tensor) -> Tensor:
        """[..., columns, rows, 1 + bins] of [..., rows, columns]."""
        x = numeric.mT.unsqueeze(-1)
        ramps = (x - self.left.unsqueeze(-2)).mul_(self.scale.unsqueeze(-2)).clamp_(0, 1)
        return torch.cat([x, ramps], -1)

    @torch.no_grad()
    def folded(self, linear: nn.Linear) -> tuple[Vectors, nn.Linear]:
        """What maps numbers in a trained model, and the layer that takes its result.

        Nothing but sums lies between the encoding and the layer behind the embedding, so both
        linear maps become one.
        """
        columns, coded, width = self.weight.shape
        parts = linear.weight[:, : self.width].reshape(-1, columns, width)
        joined = torch.einsum("fcd,ofd->ofc", self.weight, parts)
        # The plain numbers first, then the encodings, as two tensors that are side by side.
        joined = torch.cat([joined[..., 0], joined[..., 1:].flatten(1)], 1)
        rest = linear.weight[:, self.width :]
        taken = nn.Linear(columns * coded + rest.shape[1], linear.out_features, device="meta")
        taken.weight = nn.Parameter(torch.cat([joined, rest], 1), requires_grad=False)
        bias = linear.bias + torch.einsum("fd,ofd->o", self.bias, parts)
        taken.bias = nn.Parameter(bias, requires_grad=False)
        left, scale = self.left, self.scale

        def vectors(numeric: Tensor) -> Tensor:
            ramps = (numeric.unsqueeze(-1) - left).mul_(scale).clamp_(0, 1)
            return torch.cat([numeric, ramps.flatten(1)], 1)

        return vectors, taken


def edges(knots: Sequence[float], bins: int) -> npt.NDArray[np.float32]:
    """Edges of at most so many bins with about the same number of rows each, ascending.

    Args:
        knots: quantiles of the column at equal steps, of which many may be equal.
        bins: wanted.

    Returns:
        float32 without repeats; a single one, or none, for a column of a single value.
    """
    if not knots:
        return np.zeros(0, np.float32)
    places = np.linspace(0, len(knots) - 1, bins + 1).round().astype(np.int64)
    return np.unique(np.array(knots, np.float32)[places])


def _ramps(
    columns: Sequence[npt.NDArray[np.float32]], bins: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Left edge and inverse width of each bin, [columns, bins] each.

    Bins that a column lacks have 0 for both, and so does their encoding.
    """
    left, scale = (np.zeros((len(columns), bins), np.float32) for _ in range(2))
    limit = float(np.finfo(np.float32).max)
    for row, own in enumerate(columns):
        width = np.diff(own.astype(np.float64))
        left[row, : len(width)] = own[:-1]
        scale[row, : len(width)] = np.minimum(1 / width, limit)
    return left, scale


def _side_by_side(vectors: Tensor) -> Tensor:
    """[..., columns, rows, width] as [..., rows, columns * width]."""
    return vectors.transpose(-3, -2).flatten(-2)
