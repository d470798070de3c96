"""The passes that are written out are those of autograd."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.tasks.table import build_task, outputs_of
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import Batch
from rayml.types import FeatureShape, TargetInfo

TARGETS = [
    TargetInfo("y", "binary", ("no", "yes")),
    TargetInfo("y", "multiclass", ("a", "b", "c")),
    TargetInfo("y", "regression", mean=2.0, scale=3.0),
]
SHAPES = st.builds(
    FeatureShape, st.integers(0, 3), st.lists(st.integers(1, 5), max_size=3).map(tuple)
).filter(lambda shape: shape.numeric or shape.cardinalities)
DROPOUTS = st.one_of(
    st.just([0.0, 0.0, 0.0]), st.lists(st.floats(0.0, 0.9), min_size=3, max_size=3)
)


def batch_of(shape: FeatureShape, target: TargetInfo, lanes: int | None) -> Batch:
    size = (9,) if lanes is None else (lanes, 9)
    codes = [torch.randint(0, count, size) for count in shape.cardinalities]
    categorical = torch.stack(codes, -1) if codes else torch.zeros(*size, 0, dtype=torch.int64)
    known = len(target.classes)
    values = torch.randint(0, known, size) if known else torch.randn(size)
    return Batch(torch.randn(*size, shape.numeric), categorical, values)


def gradients(stack: StackedModel, target: TargetInfo, *, written: bool) -> LaneGradients:
    own = LaneGradients(stack, build_task(target), bfloat16=False)
    assert own._passes is not None
    if not written:
        own._passes = None
    return own


@given(
    shape=SHAPES,
    target=st.sampled_from(TARGETS),
    depth=st.integers(0, 3),
    dropouts=DROPOUTS,
    own_rows=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_losses_and_gradients_are_those_of_autograd(
    shape: FeatureShape,
    target: TargetInfo,
    depth: int,
    dropouts: list[float],
    own_rows: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    stack = StackedModel(
        [MLP(shape, outputs_of(target), width=5, depth=depth, dropout=each) for each in dropouts]
    )
    stack.train()
    if stack.dropouts:
        keys = torch.randint(-(2**31), 2**31, (stack.dropouts, 3))
        stack.set_dropout_keys(keys.to(torch.int32))
    batch = batch_of(shape, target, 3 if own_rows else None)
    smoothing = torch.tensor([[0.0], [0.1], [0.3]])
    found: list[tuple[Tensor, Tensor]] = []
    for written in (True, False):
        into = torch.full_like(stack.values, torch.nan)
        loss = gradients(stack, target, written=written)(batch, smoothing, into)
        found.append((loss, into))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


class Doubled(MLP):
    """Maps in its own way."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return 2 * super().forward(numeric, categorical)


def test_other_models_are_left_to_autograd() -> None:
    shape = FeatureShape(2, (3,))

    def passes(model: nn.Module) -> object:
        return StackedModel([model]).passes()

    assert passes(MLP(shape, 1)) is not None
    assert passes(Doubled(shape, 1)) is None
    assert passes(TabularResNet(shape, 1)) is None
    frozen = MLP(shape, 1)
    frozen.head.bias.requires_grad_(False)
    assert passes(frozen) is None


def test_a_diverging_lane_leaves_its_neighbours_alone() -> None:
    shape, target = FeatureShape(2, (3,)), TARGETS[0]
    models = [MLP(shape, 1, width=5) for _ in range(2)]
    stack = StackedModel(models)
    stack.train()
    stack.set_dropout_keys(torch.zeros(stack.dropouts, 2, dtype=torch.int32))
    stack.values[0].fill_(torch.nan)
    into = torch.zeros_like(stack.values)
    batch = batch_of(shape, target, None)
    loss = gradients(stack, target, written=True)(batch, torch.zeros(2, 1), into)
    assert loss[0].isnan()
    assert loss[1].isfinite()
    assert into[1].isfinite().all()
