"""Gradients of lanes are those of each model alone, in float32 and in bfloat16."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from rayml.errors import ConfigError
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.tasks.table import build_task
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import ArrayBatches, Batch
from rayml.types import Examples, FeatureShape, TargetInfo

MODELS: dict[str, Callable[[FeatureShape], nn.Module]] = {
    "mlp": lambda shape: MLP(shape, 1, width=16, dropout=0.0),
    "resnet": lambda shape: TabularResNet(shape, 1, width=16, dropout=0.0),
}


@pytest.fixture(params=list(MODELS))
def models(request: pytest.FixtureRequest, shape: FeatureShape) -> list[nn.Module]:
    torch.manual_seed(0)
    return [MODELS[request.param](shape) for _ in range(3)]


@pytest.fixture
def batch(train: Examples) -> Batch:
    return next(ArrayBatches(train, 64).in_order())


def stacked(
    models: list[nn.Module], target: TargetInfo, batch: Batch, *, bfloat16: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    stack = StackedModel([copy.deepcopy(each) for each in models])
    gradients = LaneGradients(stack, build_task(target), bfloat16=bfloat16)
    found = torch.zeros_like(stack.values)
    return gradients(batch, torch.zeros(len(models), 1), found), found


def alone(model: nn.Module, target: TargetInfo, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    model.zero_grad()
    loss = build_task(target).loss(model(batch.numeric, batch.categorical), batch.target)
    loss.backward()
    slopes = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    return loss.detach(), torch.cat(slopes)


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-5), (True, 3e-2)])
def test_each_lane_has_its_own_gradient(
    models: list[nn.Module], target: TargetInfo, batch: Batch, bfloat16: bool, tolerance: float
) -> None:
    wanted = [alone(model, target, batch) for model in models]
    losses, gradient = stacked(models, target, batch, bfloat16=bfloat16)
    assert losses.dtype == gradient.dtype == torch.float32
    for row, (loss, slope) in enumerate(wanted):
        assert losses[row].item() == pytest.approx(loss.item(), abs=tolerance)
        assert (gradient[row] - slope).norm() <= tolerance * slope.norm()


def test_bfloat16_is_not_float32(models: list[nn.Module], target: TargetInfo, batch: Batch) -> None:
    assert not torch.equal(
        stacked(models, target, batch, bfloat16=False)[1],
        stacked(models, target, batch, bfloat16=True)[1],
    )


def test_outputs_of_a_wrong_shape_are_refused(shape: FeatureShape, batch: Batch) -> None:
    three = TargetInfo("y", "multiclass", ("a", "b", "c"))
    with pytest.raises(ConfigError, match="returns shape"):
        stacked([MLP(shape, 1), MLP(shape, 1)], three, batch, bfloat16=False)
