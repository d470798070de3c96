"""Folded models beside those that they stand for."""

from __future__ import annotations

import pytest
import torch

from rayml.models.layers import folded
from rayml.models.layers.folded import FoldedEmbedding, entrance, fold
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.types import FeatureShape


def features(shape: FeatureShape, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    codes = [torch.randint(count, (rows,)) for count in shape.cardinalities]
    none = torch.zeros(rows, 0, dtype=torch.int64)
    return torch.randn(rows, shape.numeric), torch.stack(codes, 1) if codes else none


MODELS = {
    "mlp": lambda shape, depth: MLP(shape, 2, width=16, depth=depth, dropout=0.5),
    "resnet": lambda shape, depth: TabularResNet(shape, 2, width=16, depth=depth, dropout=0.5),
}


@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize(
    "shape",
    [
        FeatureShape(3, (4, 1, 9)),
        FeatureShape(0, (5,)),
        FeatureShape(2, (2, 300)),
        FeatureShape(4, ()),
    ],
)
@pytest.mark.parametrize("kind", MODELS)
def test_the_outputs_are_those_of_the_model(
    kind: str, shape: FeatureShape, depth: int, rows: int
) -> None:
    torch.manual_seed(0)
    model = MODELS[kind](shape, depth).eval()
    for each in model.parameters():
        torch.nn.init.normal_(each)  # norms begin as 1 and 0, which would tell nothing
    other = fold(model)
    assert other is not None
    inputs = features(shape, rows)
    before = [each.clone() for each in inputs]
    with torch.inference_mode():
        torch.testing.assert_close(other(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)
    for each, kept in zip(inputs, before, strict=True):
        assert torch.equal(each, kept)


def test_a_model_of_another_class_has_no_such_form() -> None:
    assert fold(torch.nn.Linear(3, 1)) is None


@pytest.mark.parametrize("parent", [MLP, TabularResNet])
def test_a_subclass_may_map_in_its_own_way(parent: type[MLP]) -> None:
    class Doubled(parent):  # type: ignore[valid-type, misc]
        def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(numeric, categorical)

    assert fold(Doubled(FeatureShape(1, (10,)), 1, width=8, depth=1)) is None


def test_vectors_that_need_too_much_memory_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(FeatureShape(1, (10,)), 1, width=8, depth=1).eval()
    inputs = features(FeatureShape(1, (10,)), 5)
    first = model.layers[0]
    for most, folded_in in ((80, True), (79, False)):
        monkeypatch.setattr(folded, "MOST_NUMBERS", most)
        assert isinstance(entrance(model.embedding, first), FoldedEmbedding) is folded_in
        form = fold(model)
        assert form is not None
        with torch.inference_mode():
            torch.testing.assert_close(form(*inputs), model(*inputs), rtol=1e-5, atol=1e-5)
