"""Features are followed to the vectors they become, whatever module makes them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayml.errors import ExplainError
from rayml.models.explain.entrances import Entrances
from rayml.models.layers.embedding import FeatureEmbedding
from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape

CPU = torch.device("cpu")
SHAPES = st.builds(
    FeatureShape,
    st.integers(0, 20),
    st.lists(st.integers(2, 300), max_size=9).map(tuple),
).filter(lambda shape: shape.numeric + len(shape.cardinalities) > 0)


def batch(shape: FeatureShape, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(count, (rows,), generator=generator) for count in shape.cardinalities]
    return (
        torch.randn(rows, shape.numeric, generator=generator),
        torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64),
    )


def entrances(module: nn.Module, shape: FeatureShape) -> Entrances:
    return Entrances(module.eval().requires_grad_(False), shape, CPU)


@settings(max_examples=30, deadline=None)
@given(SHAPES)
def test_the_vectors_give_the_outputs_and_have_the_layouts_owners(shape: FeatureShape) -> None:
    torch.manual_seed(0)
    module = MLP(shape, 2, width=8, embedding=3)
    found = entrances(module, shape)
    numeric, codes = batch(shape)
    vectors = found.vectors(numeric, codes)
    torch.testing.assert_close(found(*vectors), MLP.forward(module, numeric, codes))
    features = torch.arange(shape.numeric)
    embedded = torch.arange(len(shape.cardinalities)).repeat_interleave(3) + shape.numeric
    assert [each.tolist() for each in found.owners] == [
        features.tolist(),
        [*features.tolist(), *embedded.tolist()],
    ]


class ColumnByColumn(nn.Module):
    """An `nn.Embedding` for each column, positions, and one of both tables called twice."""

    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 2 + i) for i, n in enumerate((4, 300)))
        self.positions = nn.Embedding(7, 2)
        width = shape.numeric + 2 + 3 + 3 + 14
        self.head = nn.Linear(width, 1)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        small, large = self.tables
        positions = self.positions(torch.arange(7)).flatten().expand(len(numeric), -1)
        parts = [
            small(categorical[:, 0]),
            large(categorical[:, 1]),
            large(categorical[:, 0] * 2),
            positions,
        ]
        result: torch.Tensor = self.head(torch.cat([numeric, *parts], 1)).sigmoid()
        return result


def test_layers_may_be_many_shared_or_of_constants() -> None:
    shape = FeatureShape(2, (4, 300))
    found = entrances(ColumnByColumn(shape), shape)
    owners = [each.tolist() for each in found.owners]
    assert owners == [[0, 1], [2, 2], [3, 3, 3], [2, 2, 2]]
    sums = found.by_feature([torch.ones(5, len(each)) for each in owners])
    assert sums.tolist() == [[1, 1, 5, 3]] * 5


class NumericOnly(nn.Module):
    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.layer = nn.Linear(shape.numeric, 1)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        numeric += 1  # a module may write into what it is given
        result: torch.Tensor = self.layer(numeric)
        return result


def test_a_module_may_ignore_codes_and_write_into_its_input() -> None:
    shape = FeatureShape(3, (5,))
    found = entrances(NumericOnly(shape), shape)
    numeric, codes = batch(shape)
    kept = numeric.clone()
    found(*found.vectors(numeric.clone(), codes))
    vectors = found.vectors(numeric.clone(), codes)
    assert len(vectors) == 1
    found(*vectors)
    assert found.owners[0].tolist() == [0, 1, 2]
    assert torch.equal(numeric, kept)


class OneHot(NumericOnly):
    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(numeric) + categorical[:, :1].float()
        return result


class Pooled(nn.Module):
    """Sums the vectors of all columns within its embedding layer."""

    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(10, 3, mode="sum")
        self.head = nn.Linear(3, 1)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.bag(categorical))
        return result


class Transposed(nn.Module):
    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 3)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return self.table(categorical.T).sum(-1).T[:, :1]


class Rounded(NumericOnly):
    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = self.layer(numeric).round()
        return result


@pytest.mark.parametrize(
    ("module", "rule"),
    [
        (OneHot, "outside of embedding layers"),
        (Pooled, "depends on several columns"),
        (Transposed, "first dimension is not the rows"),
        (Rounded, "have no gradient"),
    ],
)
def test_what_cannot_be_explained_says_so(module: type[nn.Module], rule: str) -> None:
    shape = FeatureShape(2, (10, 10))
    with pytest.raises(ExplainError, match=rule):
        entrances(module(shape), shape)


def test_the_innermost_layer_is_the_entrance() -> None:
    class Wrapped(nn.Module):
        def __init__(self, shape: FeatureShape) -> None:
            super().__init__()
            self.inner = FeatureEmbedding(shape, 2)

        def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.inner(numeric, categorical).tanh().cumsum(1)
            return result

    class Model(nn.Module):
        def __init__(self, shape: FeatureShape) -> None:
            super().__init__()
            self.wrapped = Wrapped(shape)

        def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.wrapped(numeric, categorical)[:, -1:]
            return result

    shape = FeatureShape(1, (3,))
    assert [each.tolist() for each in entrances(Model(shape), shape).owners] == [[0], [0, 1, 1]]
