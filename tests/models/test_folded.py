"""Folded models beside those that they stand for."""

from __future__ import annotations

import pytest
import torch

from rayml.models import folded
from rayml.models.mlp import MLP
from rayml.types import FeatureShape


def features(shape: FeatureShape, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    codes = [torch.randint(count, (rows,)) for count in shape.cardinalities]
    return torch.randn(rows, shape.numeric), torch.stack(codes, 1)


@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize(
    "shape", [FeatureShape(3, (4, 1, 9)), FeatureShape(0, (5,)), FeatureShape(2, (2, 300))]
)
def test_the_outputs_are_those_of_the_model(shape: FeatureShape, depth: int, rows: int) -> None:
    torch.manual_seed(0)
    model = MLP(shape, 2, width=16, depth=depth, dropout=0.5).eval()
    other = model.folded()
    assert other is not model
    inputs = features(shape, rows)
    with torch.inference_mode():
        torch.testing.assert_close(other(*inputs), model(*inputs), rtol=1e-5, atol=1e-5)


def test_a_model_without_categories_stays_as_it_is() -> None:
    model = MLP(FeatureShape(3, ()), 1, width=8, depth=1)
    assert model.folded() is model


def test_a_subclass_stays_as_it_is() -> None:
    class Doubled(MLP):
        def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(numeric, categorical)

    model = Doubled(FeatureShape(1, (10,)), 1, width=8, depth=1)
    assert model.folded() is model


def test_vectors_that_need_too_much_memory_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(FeatureShape(1, (10,)), 1, width=8, depth=1)
    monkeypatch.setattr(folded, "MOST_NUMBERS", 80)
    assert model.folded() is not model
    monkeypatch.setattr(folded, "MOST_NUMBERS", 79)
    assert model.folded() is model
