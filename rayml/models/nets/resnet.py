"""The residual network for tables."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import nn

from rayml.models.layers.dropout import Dropout
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.layers.folded import Forward, affine, entrance
from rayml.models.layers.linear import LayerNorm, Linear
from rayml.models.layers.numeric import NumericKind, NumericOptions
from rayml.types import FeatureShape


class ResidualBlock(nn.Module):
    """x + Dropout(Linear(Dropout(ReLU(Linear(Norm(x)))))), shape [..., rows, width] in and out."""

    def __init__(self, width: int, hidden: int, dropout: float, residual_dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            LayerNorm(width),
            Linear(width, hidden),
            nn.ReLU(),
            Dropout(hidden, dropout),
            Linear(hidden, width),
            Dropout(width, residual_dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch's result to `x`."""
        result: torch.Tensor = x + self.branch(x)
        return result


class TabularResNet(nn.Module):
    """The ResNet of Gorishniy et al., "Revisiting deep learning models for tabular data" (2021).

    Layer normalisation (Ba et al. 2016) takes the place of the paper's batch normalisation:
    running statistics are written in each forward pass, which stacked models under
    `torch.vmap` cannot do, and make a row's prediction in training depend on its batch.

    Args:
        shape: of the features.
        outputs: columns of the result.
        width: units of the residual stream.
        depth: number of residual blocks.
        expansion: units inside a block for each unit of the stream.
        dropout: probability of dropping a unit inside a block.
        residual_dropout: probability of dropping a unit of a block's result.
        embedding: width of a category's embedding; None derives it from the cardinalities.
        numeric: `none`, `plr`, `plr_lite` or `piecewise`, see `NumericOptions`.
        numeric_width: of a number's vector.
        frequencies: of a number, where it is `plr` or `plr_lite`.
        sigma: standard deviation of the frequencies at the start.
        bins: of a number, where it is `piecewise`; at most 128.

    Attributes:
        stacks: `forward` also takes stacked parameters, [lanes, ...] each.
    """

    stacks = True

    def __init__(
        self,
        shape: FeatureShape,
        outputs: int,
        *,
        width: int = 128,
        depth: int = 2,
        expansion: float = 2.0,
        dropout: float = 0.2,
        residual_dropout: float = 0.0,
        embedding: int | None = None,
        numeric: NumericKind = "none",
        numeric_width: int = 16,
        frequencies: int = 32,
        sigma: float = 0.1,
        bins: int = 32,
    ) -> None:
        super().__init__()
        numbers = NumericOptions(numeric, numeric_width, frequencies, sigma, bins)
        self.embedding = FeatureEmbedding(shape, embedding, numbers)
        self.stem = Linear(self.embedding.width, width)
        hidden = round(width * expansion)
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, hidden, dropout, residual_dropout) for _ in range(depth))
        )
        self.head = nn.Sequential(LayerNorm(width), nn.ReLU(), Linear(width, outputs))

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Map features to [rows, outputs], or [lanes, rows, outputs]: logits, or a value."""
        hidden = self.blocks(self.stem(self.embedding(numeric, categorical)))
        result: torch.Tensor = self.head(hidden)
        return result

    def folded(self) -> Forward | None:
        """A faster forward pass with the outputs of evaluation mode; None in a subclass.

        It shares this model's parameters, which must not change afterwards.
        """
        if type(self) is not TabularResNet:
            return None  # A subclass may map in its own way.
        first = entrance(self.embedding, self.stem)
        branches = [
            [affine(layer) for layer in block.branch if isinstance(layer, Linear | LayerNorm)]
            for block in self.blocks
            if isinstance(block, ResidualBlock)
        ]
        norm, _, linear = self.head
        assert isinstance(norm, LayerNorm)
        assert isinstance(linear, Linear)
        last, out, shape, eps = affine(norm), affine(linear), norm.normalized_shape, norm.eps

        def forward(numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            x = first(numeric, categorical)
            for norm, inner, outer in branches:
                hidden = F.linear(F.layer_norm(x, shape, *norm, eps), *inner)
                x = x.add_(F.linear(hidden.relu_(), *outer))
            return F.linear(F.layer_norm(x, shape, *last, eps).relu_(), *out)

        return forward
