"""What cannot be a lane is told before it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.lanes.lane import NewLane
from rayml.train.loop.batches import ArrayBatches
from rayml.train.speed.probe import _steps, measure_lanes, why_not_stacked
from rayml.types import Examples, FeatureShape, TargetInfo


class Own(nn.Module):
    """A user's module around one layer."""

    def __init__(self, shape: FeatureShape, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(shape.numeric, 8), layer, nn.Linear(8, 1)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.layer(self.first(numeric)))
        return result


class Branch(nn.Module):
    """Looks at its values, which stacked ones have not got."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Sloppy(nn.Module):
    """Says that it can be stacked, and cannot."""

    stacks = True

    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape.numeric, 1))

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return numeric @ self.weight.flatten(0, -2)[: numeric.shape[-1]]


class Wide(nn.Module):
    """Gives a column too many."""

    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.layer = nn.Linear(shape.numeric, 2)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(numeric)
        return result


@pytest.fixture
def ask(train: Examples, target: TargetInfo) -> Any:
    def ask(model: nn.Module) -> str | None:
        lane = NewLane(0, model, TrainSettings())
        return why_not_stacked(lane, build_task(target), ArrayBatches(train, 64))

    return ask


def test_what_can_be_stacked(ask: Any, shape: FeatureShape) -> None:
    assert ask(MLP(shape, 1)) is None
    assert ask(TabularResNet(shape, 1)) is None
    assert ask(Own(shape, nn.ReLU())) is None


def test_what_vmap_refuses_is_told_in_one_line(ask: Any, shape: FeatureShape) -> None:
    for layer in (nn.Dropout(0.5), Branch()):
        reason = ask(Own(shape, layer))
        assert reason
        assert "\n" not in reason


def test_other_outputs_than_alone_are_noticed(ask: Any, shape: FeatureShape) -> None:
    assert ask(Sloppy(shape)) is not None


def test_what_is_wrong_alone_too_is_a_reason_and_no_error(ask: Any, shape: FeatureShape) -> None:
    assert "returns shape" in ask(Wide(shape))


def test_asking_leaves_the_model_as_it_was(ask: Any, shape: FeatureShape) -> None:
    model = MLP(shape, 1)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    ask(model)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert all(isinstance(each, nn.Parameter) for each in model.parameters())


def test_lanes_are_measured_up_to_those_wanted(
    train: Examples, target: TargetInfo, shape: FeatureShape
) -> None:
    lane = NewLane(0, MLP(shape, 1, width=8), TrainSettings(batch_size=64))
    chosen = measure_lanes(lane, build_task(target), ArrayBatches(train, 64), 4)
    assert 1 <= chosen.lanes <= 4
    assert "one by one" in chosen.reason


@pytest.mark.parametrize("make", [MLP, TabularResNet])
def test_what_a_step_holds_counts_its_activations(
    make: Callable[..., nn.Module], train: Examples, target: TargetInfo, shape: FeatureShape
) -> None:
    """Also where the passes are written out, of which autograd knows nothing."""
    lanes, rows, width, depth = 3, 64, 32, 2
    lane = NewLane(0, make(shape, 1, width=width, depth=depth), TrainSettings(batch_size=rows))
    _, held = _steps(lane, build_task(target), ArrayBatches(train, rows), lanes)
    parameters = sum(each.numel() for each in lane.model.parameters())
    beside = held - 6 * 4 * parameters * lanes
    activations = 4 * lanes * rows * width * depth
    assert activations <= beside <= 20 * activations
