"""An embedding and the linear layer behind it as one, for a model that is no longer trained.

A linear layer of several parts side by side is the sum of one of each part, and that of an embedded
category is one of a few vectors. They are computed once, so that a row costs a sum of vectors in
place of a gather, a copy and the widest of a small model's products. Sums are taken in another
order, so the outputs are those of both layers up to the rounding of float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import nn

from rayml.models.embedding import FeatureEmbedding

MOST_NUMBERS = 2**20
"""Numbers in the vectors of all categories at most: those that a core's cache has room for."""


class FoldedEmbedding(nn.Module):
    """Rows of features mapped as by `linear(embedding(numeric, categorical))`.

    Args:
        embedding: with at least one categorical column; its parameters are not stacked.
        linear: takes what it gives.
    """

    offsets: torch.Tensor
    vectors: torch.Tensor
    weight: torch.Tensor

    @torch.no_grad()
    def __init__(self, embedding: FeatureEmbedding, linear: nn.Linear) -> None:
        super().__init__()
        width = embedding.table.shape[1]
        numeric = linear.in_features - width * len(embedding.offsets)
        parts = linear.weight[:, numeric:].T.reshape(-1, width, linear.out_features)
        columns = embedding.table.tensor_split(embedding.offsets[1:].cpu())
        vectors = torch.cat([c @ part for c, part in zip(columns, parts, strict=True)])
        # Each row has one category of the first column.
        vectors[: len(columns[0])] += linear.bias
        self.register_buffer("offsets", embedding.offsets)
        self.register_buffer("vectors", vectors)
        self.register_buffer("weight", linear.weight[:, :numeric].T.contiguous())

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Map float32 [rows, numeric columns] and int64 codes [rows, categorical columns]."""
        hidden = F.embedding_bag(categorical + self.offsets, self.vectors, mode="sum")
        return hidden.addmm_(numeric, self.weight)


def folds(embedding: FeatureEmbedding, linear: nn.Linear) -> bool:
    """Whether both can be one: there are categories, and not too many for the layer's width."""
    return 0 < len(embedding.table) * linear.out_features <= MOST_NUMBERS
