"""Embeddings of features: of categories, and of numbers where a model wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn

from rayml.models.layers.numeric import NumericOptions, numeric_embedding
from rayml.types import FeatureShape

MAX_WIDTH = 16


def embedding_width(cardinalities: Sequence[int]) -> int:
    """Width that suits the largest of some categorical columns.

    The rule is fastai's `emb_sz_rule` (https://docs.fast.ai/tabular.model.html),
    1.6 n^0.56, bounded because all columns share the width.
    """
    largest = max(cardinalities, default=1)
    return min(MAX_WIDTH, round(1.6 * math.pow(largest, 0.56)))


class FeatureEmbedding(nn.Module):
    """Rows of features as one vector: the numbers or their vectors, then an embedding a category.

    All categorical columns share one table, each with its own range of rows, as in Gorishniy
    et al., "Revisiting deep learning models for tabular data" (2021): one gather for all
    columns is several times as fast as a lookup a column. Codes must be smaller than their
    column's cardinality, which the preprocessor assures; nothing checks them here.

    Args:
        shape: of the features.
        width: of a category's embedding; None takes `embedding_width`.
        numeric: how numbers enter.

    Attributes:
        numbers: the embedding of numbers; None if they stay as they are.
        width: of the result, [rows, width].
        shared_buffers: are the same in stacked models.
    """

    shared_buffers = ("offsets",)

    offsets: torch.Tensor

    def __init__(
        self, shape: FeatureShape, width: int | None = None, numeric: NumericOptions | None = None
    ) -> None:
        super().__init__()
        each = embedding_width(shape.cardinalities) if width is None else width
        starts = list(accumulate(shape.cardinalities, initial=0))
        bound = each**-0.5
        self.table = nn.Parameter(torch.empty(starts[-1], each).uniform_(-bound, bound))
        self.register_buffer("offsets", torch.tensor(starts[:-1]), persistent=False)
        self.numbers = numeric_embedding(shape, numeric or NumericOptions())
        numbers = shape.numeric if self.numbers is None else self.numbers.width
        self.width = numbers + each * len(shape.cardinalities)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Embed float32 [rows, numeric columns] and int64 codes [rows, categorical columns].

        With a stacked table, [lanes, codes, width], the result is [lanes, rows, width]; features
        may then be [lanes, rows, columns] too.
        """
        if self.numbers is not None:
            numeric = self.numbers(numeric)
        return self.join(numeric, categorical)

    def join(self, numbers: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        """Put the categories' embeddings behind numbers, or their vectors, [..., rows, width]."""
        if not len(self.offsets):
            return numbers
        if self.table.dim() == 3:
            return self.stacked(numbers, categorical)[0]
        # index_select: its backward pass costs half that of nn.Embedding on a CPU.
        rows = (categorical + self.offsets).flatten()
        vectors = self.table.index_select(0, rows).view(len(categorical), -1)
        return torch.cat([numbers, vectors], dim=-1)

    def stacked(
        self, numbers: torch.Tensor, categorical: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Put embeddings of a stacked table behind numbers, or their vectors.

        Returns:
            The result [lanes, rows, width], and the row of all lanes' tables, one below the other,
            that each embedding is; None without categories.
        """
        lanes, codes, width = self.table.shape
        if numbers.dim() == 2:
            numbers = numbers.expand(lanes, -1, -1)
        if not len(self.offsets):
            return numbers, None
        first = torch.arange(0, lanes * codes, codes, device=categorical.device).view(-1, 1, 1)
        rows = (categorical + self.offsets + first).flatten()
        vectors = self.table.reshape(-1, width).index_select(0, rows)
        return torch.cat([numbers, vectors.view(lanes, numbers.shape[-2], -1)], dim=-1), rows
