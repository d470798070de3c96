"""The passes of stacked MLPs written out: what autograd does, in half as many operations.

On a CPU a step of small models spends more time on starting operations, and on passes over their
results, than on products. So ReLU and dropout work in place, the weights take dropout's scale, and
the backward pass reads from the results which units both kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from rayml.models.layers.dropout import Dropout, row_numbers
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.layers.linear import Linear
from rayml.models.layers.products import baddbmm, bmm


class _Layer(NamedTuple):
    """What the backward pass takes of a layer.

    Attributes:
        x: its input, [lanes, rows, in].
        weight: [lanes, out, in], times the scale.
        result: what left the layer, [lanes, rows, out].
        scale: of its dropout, [lanes]; None without one.
    """

    x: Tensor
    weight: Tensor
    result: Tensor
    scale: Tensor | None


class MLPPasses:
    """Forward and backward pass of MLPs whose parameters are stacked, in training.

    Args:
        embedding: of the features, with a table [lanes, codes, width].
        hidden: the hidden layers, each with its dropout.
        head: the last layer.
    """

    def __init__(
        self, embedding: FeatureEmbedding, hidden: list[tuple[Linear, Dropout]], head: Linear
    ) -> None:
        self._embedding = embedding
        self._hidden = hidden
        self._head = head
        self._codes: Tensor | None = None
        self._numbers: Tensor | None = None
        self._layers: list[_Layer] = []

    @torch.no_grad()
    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Outputs [lanes, rows, outputs] of float32 features; keeps what `backward` takes."""
        if (embed := self._embedding.numbers) is not None:
            with torch.enable_grad():
                numeric = self._numbers = embed(numeric)
        x, self._codes = self._embedding.stacked(numeric, categorical)
        self._layers = []
        masks = self._masks(x.shape[-2], x.device)
        for linear, dropout in self._hidden:
            if dropout.active:
                scale = dropout.scale
                weight = linear.weight * scale[:, None, None]
                bias = linear.bias * scale[:, None]
                result = baddbmm(bias.unsqueeze(-2), x, weight.mT).clamp_min_(0)
                # A kept unit's bits times 1, a dropped one's times 0.
                result.view(torch.int32).mul_(next(masks))
            else:
                scale, weight = None, linear.weight.contiguous()
                result = baddbmm(linear.bias.unsqueeze(-2), x, weight.mT).clamp_min_(0)
            self._layers.append(_Layer(x, weight, result, scale))
            x = result
        weight = self._head.weight.contiguous()
        outputs = baddbmm(self._head.bias.unsqueeze(-2), x, weight.mT)
        self._layers.append(_Layer(x, weight, outputs, None))
        return outputs

    @torch.no_grad()
    def backward(self, slope: Tensor) -> list[Tensor]:
        """Gradients of the parameters, in the order of the model's.

        Args:
            slope: derivative of the loss by the outputs.
        """
        found: list[Tensor] = []
        head = self._layers[-1]
        for layer in reversed(self._layers):
            if layer is not head:
                slope = torch.ops.aten.threshold_backward(slope, layer.result, 0)
            to_weight, to_bias = bmm(slope.mT, layer.x), slope.sum(-2)
            if layer.scale is not None:
                to_weight.mul_(layer.scale[:, None, None])
                to_bias.mul_(layer.scale[:, None])
            found += [to_bias, to_weight]
            if layer is not self._layers[0] or self._embedded:
                slope = bmm(slope, layer.weight)
        if self._numbers is not None:
            own = self._embedding.numbers
            assert own is not None
            width = self._numbers.shape[-1]
            slopes = torch.autograd.grad(self._numbers, own.trained, slope[..., :width])
            found += slopes[::-1]
        table = self._embedding.table
        if self._codes is None:
            found.append(torch.zeros_like(table))
        else:
            found.append(_to_table(table, self._codes, slope))
        return found[::-1]

    @property
    def _embedded(self) -> bool:
        """Whether the first layer's input has a gradient."""
        return self._codes is not None or self._numbers is not None

    @property
    def kept(self) -> int:
        """Bytes that the last forward pass kept for the backward pass."""
        tensors = [self._layers[0].x] if self._layers else []
        tensors += [each for layer in self._layers for each in (layer.weight, layer.result)]
        return sum(each.nbytes for each in tensors)

    def _masks(self, rows: int, device: torch.device) -> Iterator[Tensor]:
        """Of each active dropout what units it keeps, int32 [lanes, rows, units] of 1 and 0."""
        active = [dropout for _, dropout in self._hidden if dropout.active]
        if not active:
            return
        numbers = row_numbers(torch.stack([each.key for each in active]), rows, device)
        for dropout, row in zip(active, numbers.unsqueeze(-1), strict=True):
            yield (row * dropout.columns).ge_(dropout.limit[:, None, None])


def _to_table(table: Tensor, codes: Tensor, slope: Tensor) -> Tensor:
    """Gradient of the embeddings from that of the first layer's input, whose last part they are."""
    width = table.shape[-1]
    columns = width * (len(codes) // (len(slope) * slope.shape[-2]))
    own = slope[..., slope.shape[-1] - columns :].reshape(-1, width)
    flat = own.new_zeros(table.shape[0] * table.shape[1], width)
    return flat.index_add_(0, codes, own).view(table.shape)
