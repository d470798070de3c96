"""Muon: steps of matrices that are orthogonal, whatever the size of their gradient's parts.

Momentum is gathered as by SGD; its singular values are then brought near to one (Jordan et al.,
"Muon: an optimizer for hidden layers in neural networks", 2024). Matrices of hidden layers are
trained so, and all else by AdamW, as in Gorishniy's group's comparison of optimizers for tabular
networks (arXiv 2604.15297).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rayml.models.layers.member_layers import AdaptedLinear, MemberLinear
from rayml.models.layers.products import bmm

MOMENTUM = 0.95
_STEPS = 5
# Of the quintic polynomial, which are steepest at zero.
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Matrix(NamedTuple):
    """A weight, or weights of members one after another, in a flat tensor of parameters.

    Attributes:
        start: place of its first number.
        stop: place behind the last one.
        rows: of a matrix.
        columns: of a matrix.
    """

    start: int
    stop: int
    rows: int
    columns: int


def hidden_matrices(model: nn.Module) -> list[Matrix]:
    """The weights of a model's linear layers, in order, but for the last one, which is its head."""
    linear = [
        prefix
        for prefix, module in model.named_modules()
        if isinstance(module, nn.Linear | AdaptedLinear | MemberLinear)
    ]
    hidden = {f"{prefix}.weight" if prefix else "weight" for prefix in linear[:-1]}
    found, start = [], 0
    trained = (pair for pair in model.named_parameters() if pair[1].requires_grad)
    for name, each in trained:
        stop = start + each.numel()
        if name in hidden and min(each.shape[-2:]) > 1:
            found.append(Matrix(start, stop, *each.shape[-2:]))
        start = stop
    return found


def others(matrices: Sequence[Matrix], width: int) -> list[slice]:
    """The parts of a flat tensor that are none of the matrices'."""
    edges = [0, *(edge for each in matrices for edge in each[:2]), width]
    parts = zip(edges[::2], edges[1::2], strict=True)
    return [slice(start, stop) for start, stop in parts if start < stop]


def muon_step(
    matrix: Matrix, values: Tensor, gradient: Tensor, momentum: Tensor, lr: Tensor, decay: Tensor
) -> None:
    """Update a matrix of every lane in place.

    Args:
        matrix: where it lies.
        values: [lanes, parameters].
        gradient: of the same shape; it is left as it is.
        momentum: of the same shape.
        lr: rates, [lanes, 1].
        decay: what is left of the weights, [lanes, 1].
    """
    part = slice(matrix.start, matrix.stop)
    slope, moment, own = gradient[:, part], momentum[:, part], values[:, part]
    moment.lerp_(slope, 1 - MOMENTUM)
    # Nesterov.
    update = torch.lerp(slope, moment, MOMENTUM).view(-1, matrix.rows, matrix.columns)
    step = orthogonal(update).view(len(values), -1)
    scale = max(1.0, matrix.rows / matrix.columns) ** 0.5
    own.mul_(decay).sub_(step.mul_(scale * lr))


def orthogonal(x: Tensor) -> Tensor:
    """The nearest matrices with singular values of about one, by five steps of Newton and Schulz.

    Args:
        x: float32 [matrices, rows, columns]. One that is zero stays zero.
    """
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        square = bmm(x, x.mT)
        factor = torch.add(_B * square, bmm(square, square), alpha=_C)
        x = torch.add(_A * x, bmm(factor, x))
    return x.mT.contiguous() if tall else x
