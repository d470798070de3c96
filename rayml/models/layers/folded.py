"""Models that are no longer trained, as the few operations that a prediction needs.

A module is a tree of modules, each of whose calls costs a row as much as the operation inside it,
and a row that is to be predicted drops no units. What is left of a model is a list of weights.

An embedding and the linear layer behind it become one: a linear layer of several parts side by side
is the sum of one of each part, and that of an embedded category is one of a few vectors. They are
computed once, so that a row costs a sum of vectors in place of a gather, a copy and the widest of a
small model's products. Sums are taken in another order, so the outputs are those of both layers up
to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import nn

from rayml.models.layers.embedding import FeatureEmbedding

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps float32 [rows, numeric columns] and int64 codes [rows, categorical columns]."""

Affine = tuple[torch.Tensor, torch.Tensor]
"""Weight and bias of a layer."""

MOST_NUMBERS = 2**20
"""Numbers in the vectors of all categories at most: those that a core's cache has room for."""


def fold(model: nn.Module) -> Forward | None:
    """What predicts as a trained model does, but faster; None if its class has no such form."""
    folded = getattr(model, "folded", None)
    form: Forward | None = None if folded is None else folded()
    return form


def affine(layer: nn.Linear | nn.LayerNorm) -> Affine:
    """The weight and bias of a trained layer, which it goes on to share."""
    return layer.weight.detach(), layer.bias.detach()


def entrance(embedding: FeatureEmbedding, linear: nn.Linear) -> Forward:
    """What maps as `linear(embedding(numeric, categorical))`, the fastest way there is."""
    if embedding.numbers is None:
        return _behind_numbers(embedding, linear)
    vectors, linear = embedding.numbers.folded(linear)
    rest = _behind_numbers(embedding, linear)
    return lambda numeric, categorical: rest(vectors(numeric), categorical)


def _behind_numbers(embedding: FeatureEmbedding, linear: nn.Linear) -> Forward:
    """What maps as `linear(embedding.join(numbers, categorical))`."""
    if folds(embedding, linear):
        return FoldedEmbedding(embedding, linear)
    weight, bias = affine(linear)
    if not len(embedding.offsets):
        return lambda numbers, _: F.linear(numbers, weight, bias)
    return lambda numbers, categorical: F.linear(embedding.join(numbers, categorical), weight, bias)


class FoldedEmbedding:
    """Rows of features mapped as by `linear(embedding.join(numbers, categorical))`.

    Args:
        embedding: with at least one categorical column; its parameters are not stacked.
        linear: takes what it gives.
    """

    @torch.no_grad()
    def __init__(self, embedding: FeatureEmbedding, linear: nn.Linear) -> None:
        width = embedding.table.shape[1]
        numeric = linear.in_features - width * len(embedding.offsets)
        parts = linear.weight[:, numeric:].T.reshape(-1, width, linear.out_features)
        columns = embedding.table.tensor_split(embedding.offsets[1:].cpu())
        vectors = torch.cat([c @ part for c, part in zip(columns, parts, strict=True)])
        # Each row has one category of the first column.
        vectors[: len(columns[0])] += linear.bias
        self._offsets = embedding.offsets
        self._vectors = vectors
        self._weight = linear.weight[:, :numeric].T.contiguous()

    def __call__(self, numbers: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Map float32 [rows, numbers or their vectors] and int64 codes [rows, columns]."""
        hidden = F.embedding_bag(categorical + self._offsets, self._vectors, mode="sum")
        return hidden.addmm_(numbers, self._weight)


def folds(embedding: FeatureEmbedding, linear: nn.Linear) -> bool:
    """Whether both can be one: there are categories, and not too many for the layer's width."""
    return 0 < len(embedding.table) * linear.out_features <= MOST_NUMBERS
