"""The multilayer perceptron."""

from __future__ import annotations

import torch
from torch import nn

from rayml.models.backprop import MLPPasses
from rayml.models.dropout import Dropout
from rayml.models.embedding import FeatureEmbedding
from rayml.models.folded import FoldedEmbedding, folds
from rayml.models.linear import Linear
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
    ) -> None:
        super().__init__()
        self.embedding = FeatureEmbedding(shape, embedding)
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
        """The passes of stacked models written out; None where they would not be those of this."""
        if type(self) is not MLP:
            return None  # A subclass may map in its own way.
        linear = [layer for layer in self.layers if isinstance(layer, Linear)]
        dropout = [layer for layer in self.layers if isinstance(layer, Dropout)]
        return MLPPasses(self.embedding, list(zip(linear, dropout, strict=True)), self.head)

    def folded(self) -> nn.Module:
        """The same map with its embedding folded into its first layer; itself if that is none."""
        if type(self) is not MLP:
            return self  # A subclass may map in its own way.
        first = self.layers[0] if len(self.layers) else self.head
        assert isinstance(first, nn.Linear)
        return FoldedMLP(self, first) if folds(self.embedding, first) else self


class FoldedMLP(nn.Module):
    """A trained MLP for predictions alone: it shares the parameters of its later layers.

    Args:
        model: the MLP, in evaluation mode.
        first: its first layer.
    """

    def __init__(self, model: MLP, first: nn.Linear) -> None:
        super().__init__()
        self.first = FoldedEmbedding(model.embedding, first)
        # In evaluation mode dropout does nothing, and what a layer gave is nobody else's.
        rest = [layer for layer in [*model.layers, model.head] if not isinstance(layer, Dropout)]
        self.rest = nn.Sequential(
            *(nn.ReLU(inplace=True) if isinstance(x, nn.ReLU) else x for x in rest[1:])
        )
        self.eval()

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Map features to [rows, outputs]: logits, or a value."""
        result: torch.Tensor = self.rest(self.first(numeric, categorical))
        return result
