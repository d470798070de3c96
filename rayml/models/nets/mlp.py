"""The multilayer perceptron."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import nn

from rayml.models.layers.backprop import MLPPasses
from rayml.models.layers.dropout import Dropout
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.layers.folded import Forward, affine, entrance
from rayml.models.layers.linear import Linear
from rayml.models.layers.numeric import NumericKind, NumericOptions
from rayml.types import FeatureShape


class MLP(nn.Module):
    """Blocks of linear layer, ReLU and dropout, then a linear head.

    It is the MLP of Gorishniy et al., "Revisiting deep learning models for tabular data"
    (2021), which tunes the same parameters; layers start with PyTorch's own initialisation,
    as there.

    Args:
        shape: of the features.
        outputs: columns of the result.
        width: units of a hidden layer.
        depth: number of hidden layers.
        dropout: probability of dropping a hidden unit.
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
        dropout: float = 0.1,
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
        layers: list[nn.Module] = []
        incoming = self.embedding.width
        for _ in range(depth):
            layers += [Linear(incoming, width), nn.ReLU(), Dropout(width, dropout)]
            incoming = width
        self.layers = nn.Sequential(*layers)
        self.head = Linear(incoming, outputs)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Map features to [rows, outputs], or [lanes, rows, outputs]: logits, or a value."""
        hidden = self.layers(self.embedding(numeric, categorical))
        result: torch.Tensor = self.head(hidden)
        return result

    def stacked_passes(self) -> MLPPasses | None:
        """The passes of stacked models written out; None in a subclass."""
        if type(self) is not MLP:
            return None  # A subclass may map in its own way.
        linear = [layer for layer in self.layers if isinstance(layer, Linear)]
        dropout = [layer for layer in self.layers if isinstance(layer, Dropout)]
        return MLPPasses(self.embedding, list(zip(linear, dropout, strict=True)), self.head)

    def folded(self) -> Forward | None:
        """A faster forward pass with the outputs of evaluation mode; None in a subclass.

        It shares this model's parameters, which must not change afterwards.
        """
        if type(self) is not MLP:
            return None  # A subclass may map in its own way.
        layers = [layer for layer in [*self.layers, self.head] if isinstance(layer, Linear)]
        first = entrance(self.embedding, layers[0])
        rest = list(map(affine, layers[1:]))

        def forward(numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            hidden = first(numeric, categorical)
            for weight, bias in rest:
                hidden = F.linear(hidden.relu_(), weight, bias)
            return hidden

        return forward
