"""Layers whose parameters may be stacked, so that many models run as one.

`torch.vmap` would do, at some 30 µs for each operation on a CPU, which is more than the operation
itself costs a small model.
"""

from __future__ import annotations

import torch
from torch import nn


class Linear(nn.Linear):
    """`nn.Linear` that also takes a weight [lanes, out, in] with a bias [lanes, out]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's own name
        """Map [..., rows, in] to [..., rows, out], or to [lanes, rows, out]."""
        if self.weight.dim() == 2:
            return super().forward(input)
        if input.dim() == 2:
            input = input.expand(len(self.weight), -1, -1)  # noqa: A001
        return torch.baddbmm(self.bias.unsqueeze(-2), input, self.weight.mT)


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension that also takes parameters [lanes, width]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's own name
        """Normalise each row of [..., rows, width]."""
        if self.weight.dim() == 1:
            return super().forward(input)
        normal = nn.functional.layer_norm(input, self.normalized_shape, eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(-2), normal, self.weight.unsqueeze(-2))
