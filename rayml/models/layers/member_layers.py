"""Layers of several members that train side by side, which share weights or have their own.

They map [..., members, rows, in] to [..., members, rows, out]. Parameters may be stacked, [lanes,
...] each. Where the outputs of members are averaged, so that each may err in its own way, sharing
most weights costs little and regularises (Wen et al., "BatchEnsemble", 2020; Gorishniy et al.,
"TabM", 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rayml.models.layers.linear import Linear, stacked_linear
from rayml.models.layers.products import baddbmm

Start = Literal["signs", "normal", "ones"]


class Scale(nn.Module):
    """Multiplies the inputs of each member with factors of its own.

    Args:
        members: number of them.
        width: of an input.
        start: `signs` draws 1 or -1, `normal` from the normal distribution, `ones` takes 1.
        chunks: widths of parts of the input that start with one factor; empty draws each alone.
    """

    def __init__(
        self, members: int, width: int, start: Start = "ones", chunks: Sequence[int] = ()
    ) -> None:
        super().__init__()
        drawn = len(chunks) or width
        factors = torch.ones(members, drawn)
        if start == "signs":
            factors = torch.randint(2, (members, drawn)) * 2.0 - 1
        elif start == "normal":
            factors = torch.randn(members, drawn)
        if chunks:
            factors = factors.repeat_interleave(torch.tensor(chunks), 1, output_size=width)
        self.weight = nn.Parameter(factors)

    def forward(self, x: Tensor) -> Tensor:
        """Scale [..., members or 1, rows, width]."""
        return x * self.weight.unsqueeze(-2)


class SharedLinear(Linear):
    """A linear layer that all members share."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's own name
        """Map [..., members, rows, in] to [..., members, rows, out]."""
        members = input.shape[-3]
        return _apart(super().forward(input.flatten(-3, -2)), members)


class AdaptedLinear(nn.Module):
    """A shared linear layer whose inputs and outputs each member scales, with biases of its own.

    Args:
        members: number of them.
        incoming: width of an input.
        outgoing: width of an output.
        scale: of the inputs; None starts with ones.
    """

    def __init__(
        self, members: int, incoming: int, outgoing: int, scale: Scale | None = None
    ) -> None:
        super().__init__()
        bound = incoming**-0.5 if incoming else 0.0
        self.scale = Scale(members, incoming) if scale is None else scale
        self.weight = nn.Parameter(torch.empty(outgoing, incoming).uniform_(-bound, bound))
        self.gain = nn.Parameter(torch.ones(members, outgoing))
        bias = torch.empty(outgoing).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias.repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., members or 1, rows, in] to [..., members, rows, out]."""
        scaled = self.scale(x)
        flat = scaled.flatten(-3, -2)
        if self.weight.dim() == 2:
            product = nn.functional.linear(flat, self.weight)
        else:
            product = stacked_linear(
                flat, self.weight, self.weight.new_zeros(*self.weight.shape[:-1])
            )
        product = _apart(product, scaled.shape[-3])
        return torch.addcmul(self.bias.unsqueeze(-2), product, self.gain.unsqueeze(-2))


class MemberLinear(nn.Module):
    """A linear layer with weights of its own for each member.

    Args:
        members: number of them.
        incoming: width of an input.
        outgoing: width of an output.
    """

    def __init__(self, members: int, incoming: int, outgoing: int) -> None:
        super().__init__()
        bound = incoming**-0.5 if incoming else 0.0
        weight = torch.empty(members, outgoing, incoming).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(members, outgoing).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., members or 1, rows, in] to [..., members, rows, out]."""
        if self.weight.dim() == 3:
            wide = x.expand(len(self.weight), -1, -1)
            return baddbmm(self.bias.unsqueeze(-2), wide, self.weight.mT)
        lanes, members = self.weight.shape[:2]
        wide = x.expand(lanes, members, -1, -1).flatten(0, 1)
        found = stacked_linear(wide, self.weight.flatten(0, 1), self.bias.flatten(0, 1))
        return found.view(lanes, members, *found.shape[1:])


def _apart(flat: Tensor, members: int) -> Tensor:
    """Rows of members one below the other, [..., members * rows, width], member by member."""
    *first, rows, width = flat.shape
    return flat.view(*first, members, rows // members, width)
