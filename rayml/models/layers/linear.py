"""Layers whose parameters may be stacked, so that many models run as one.

`torch.vmap` does the same, and costs some 30 µs for each operation on a CPU, more than the
operation itself in a small model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rayml.models.layers.products import baddbmm, bmm


class Linear(nn.Linear):
    """`nn.Linear` that also takes a weight [lanes, out, in] with a bias [lanes, out]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's own name
        """Map [..., rows, in] to [..., rows, out], or to [lanes, rows, out]."""
        if self.weight.dim() == 2:
            return super().forward(input)
        if input.dim() == 2:
            input = input.expand(len(self.weight), -1, -1)  # noqa: A001
        return stacked_linear(input, self.weight, self.bias)


def stacked_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Map [lanes, rows, in] by weights [lanes, out, in] and biases [lanes, out]."""
    parts = (x, weight, bias)
    if torch.is_autocast_enabled(x.device.type):
        # The backward pass runs outside of autocast, and takes what is saved as it is.
        kind = torch.get_autocast_dtype(x.device.type)
        parts = tuple(part.to(kind) for part in parts)  # type: ignore[assignment]
    result: torch.Tensor = _StackedLinear.apply(*parts)  # type: ignore[no-untyped-call]
    return result


class _StackedLinear(torch.autograd.Function):
    """A linear map a lane.

    PyTorch's own derivative of a product with a transposed weight is the transpose of what the
    optimizer wants, which then has to be copied: a fifth of a small model's step.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        # A row of the stack's flat buffer is not; each product would copy it.
        weight = weight.contiguous()
        ctx.save_for_backward(x, weight)
        return baddbmm(bias.unsqueeze(-2), x, weight.mT)

    @staticmethod
    def backward(
        ctx: Any, *grads: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
        x, weight = ctx.saved_tensors
        (slope,) = grads
        to_x = bmm(slope, weight) if ctx.needs_input_grad[0] else None
        to_bias = slope.sum(-2) if ctx.needs_input_grad[2] else None
        return to_x, bmm(slope.mT, x), to_bias


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension that also takes parameters [lanes, width]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - PyTorch's own name
        """Normalise each row of [..., rows, width]."""
        if self.weight.dim() == 1:
            return super().forward(input)
        normal = nn.functional.layer_norm(input, self.normalized_shape, eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(-2), normal, self.weight.unsqueeze(-2))
