"""Attention between the tokens of a row, of one model or of stacked ones.

Tokens are [..., rows * tokens, width], those of a row one below the other, so that layers which
map rows map them too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import Tensor, nn

from rayml.models.layers.dropout import Dropout
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.layers.linear import LayerNorm, Linear
from rayml.models.layers.numeric import NumericOptions
from rayml.types import FeatureShape


class LinearNumbers(nn.Module):
    """A vector of each number: the number times one vector, plus another one.

    Args:
        columns: number of numeric features.
        width: of a vector.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))

    def forward(self, numeric: Tensor) -> Tensor:
        """Embed [..., rows, columns] as [..., rows, width]; [lanes, rows, width] if stacked."""
        vectors = numeric.unsqueeze(-1) * self.weight.unsqueeze(-3) + self.bias.unsqueeze(-3)
        return vectors.flatten(-2)


class Tokens(nn.Module):
    """Features of rows as tokens, behind one that is the same in each row.

    Args:
        shape: of the features.
        width: of a token.
        numeric: how numbers become tokens; `none` takes `LinearNumbers`.

    Attributes:
        count: tokens of a row.
    """

    def __init__(self, shape: FeatureShape, width: int, numeric: NumericOptions) -> None:
        super().__init__()
        self.count = 1 + shape.numeric + len(shape.cardinalities)
        self.first = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5))
        self.embedding = FeatureEmbedding(shape, width, numeric)
        plain = self.embedding.numbers is None and shape.numeric > 0
        self.numbers = LinearNumbers(shape.numeric, width) if plain else None

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Map features of rows to [..., rows * count, width]."""
        numbers = numeric if self.numbers is None else self.numbers(numeric)
        features = self.embedding(numbers, categorical)
        *lead, rows, _ = features.shape
        width = self.first.shape[-1]
        first = self.first.unsqueeze(-2).expand(*lead, rows, width)
        return torch.cat([first, features], -1).view(*lead, rows * self.count, width)


class Attention(nn.Module):
    """Attention with several heads between the tokens of each row (Vaswani et al. 2017).

    Args:
        tokens: of a row.
        width: of a token.
        heads: of attention.
        dropout: probability of dropping a token that another one reads.
    """

    def __init__(self, tokens: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.tokens = tokens
        self.heads = heads
        self.read = Linear(width, 3 * width)
        self.dropout = Dropout(tokens, dropout)
        self.write = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., rows * tokens, width] to the same shape."""
        *lead, rows, width = x.shape
        shape = (-1, self.tokens, 3, self.heads, width // self.heads)
        query, key, value = self.read(x).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        if self.training and self.dropout.active:
            scale = query.shape[-1] ** -0.5
            shares = (query @ key.mT * scale).softmax(-1)
            # Of each head a row a token that reads.
            flat = shares.reshape(*lead, -1, self.tokens)
            found = self.dropout(flat).reshape(shares.shape) @ value
        else:
            found = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.write(found.transpose(1, 2).reshape(*lead, rows, width))
        return result


class Block(nn.Module):
    """Attention, then a gated layer on each token; the results are added to the tokens.

    Args:
        tokens: of a row.
        width: of a token.
        heads: of attention.
        hidden: units of the gated layer.
        dropouts: probabilities of dropping a read token, a hidden unit, and a unit of a result.
        first: whether the tokens are not normalised before the attention.
    """

    def __init__(
        self,
        tokens: int,
        width: int,
        heads: int,
        hidden: int,
        dropouts: tuple[float, float, float],
        *,
        first: bool,
    ) -> None:
        super().__init__()
        read, gated, residual = dropouts
        self.before = nn.Identity() if first else LayerNorm(width)
        self.attention = Attention(tokens, width, heads, read)
        self.attended = Dropout(width, residual)
        self.between = LayerNorm(width)
        self.gate = Linear(width, 2 * hidden)
        self.dropout = Dropout(hidden, gated)
        self.join = Linear(hidden, width)
        self.joined = Dropout(width, residual)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., rows * tokens, width] to the same shape."""
        x = x + self.attended(self.attention(self.before(x)))
        value, gate = self.gate(self.between(x)).chunk(2, -1)
        result: Tensor = x + self.joined(self.join(self.dropout(value * gate.relu())))
        return result
