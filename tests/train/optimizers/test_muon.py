"""Muon: its steps, which weights it trains, and that lanes step as each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.models.nets.tabm import TabM
from rayml.settings.train import OptimizerSettings, TrainSettings
from rayml.train.loop.flat import flatten_parameters, trainable_parameters
from rayml.train.loop.results import fixed
from rayml.train.optimizers.model_optimizer import build_optimizer
from rayml.train.optimizers.muon import MOMENTUM, hidden_matrices, orthogonal, others
from rayml.train.optimizers.optim import LaneOptimizer, Rates
from rayml.types import FeatureShape

SHAPE = FeatureShape(3, (4, 5))
SETTINGS = OptimizerSettings(name="muon", lr=0.01, muon_lr=0.05, weight_decay=0.1)


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP(SHAPE, 2, width=6, depth=2)


def trained_by_muon(model: nn.Module) -> set[str]:
    places, start = {}, 0
    for name, each in trainable_parameters(model).items():
        places[start, start + each.numel()] = name
        start += each.numel()
    return {places[each.start, each.stop] for each in hidden_matrices(model)}


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (2, 20, 5)])
def test_singular_values_come_near_to_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert found.min() > 0.4
    assert found.max() < 1.3
    x = torch.randn(shape)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    # As the nearest matrix that has none but ones, up to what five steps leave.
    cosine = torch.cosine_similarity(orthogonal(x).flatten(1), (u @ v).flatten(1))
    assert (cosine > 0.95).all()


def test_a_gradient_of_zero_makes_no_step() -> None:
    assert not orthogonal(torch.zeros(2, 4, 3)).any()


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (mlp(), {"layers.0.weight", "layers.3.weight"}),
        (
            TabularResNet(SHAPE, 1, width=4, depth=1, numeric="plr"),
            {"stem.weight", "blocks.0.branch.1.weight", "blocks.0.branch.4.weight"},
        ),
        *(
            (TabM(SHAPE, 1, k=2, width=4, form=form), {"layers.0.weight", "layers.2.weight"})
            for form in ("mini", "full", "packed")
        ),
        (nn.Linear(3, 2), set()),
        (nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 4), nn.Linear(4, 2)), {"1.weight"}),
    ],
)
def test_it_trains_the_matrices_of_hidden_layers(model: nn.Module, wanted: set[str]) -> None:
    assert trained_by_muon(model) == wanted


def cut(flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    parts = flat.split([shape.numel() for shape in shapes])
    return [each.view(shape) for each, shape in zip(parts, shapes, strict=True)]


def by_hand(parameters: list[Tensor], slopes: list[list[Tensor]], muon: set[int]) -> list[Tensor]:
    """Some steps, a parameter at a time; AdamW is PyTorch's own."""
    values = [nn.Parameter(each.clone()) for each in parameters]
    rest = [each for place, each in enumerate(values) if place not in muon]
    adamw = torch.optim.AdamW(rest, SETTINGS.lr, weight_decay=SETTINGS.weight_decay)
    moments = {place: torch.zeros_like(values[place]) for place in muon}
    for step, each in enumerate(slopes):
        factor = 1 / (step + 1)
        for value, slope in zip(values, each, strict=True):
            value.grad = slope.clone()
        adamw.param_groups[0]["lr"] = SETTINGS.lr * factor
        adamw.step()
        for place, moment in moments.items():
            moment.mul_(MOMENTUM).add_(each[place] * (1 - MOMENTUM))
            update = orthogonal((each[place] * (1 - MOMENTUM) + moment * MOMENTUM)[None])[0]
            rows, columns = update.shape
            lr = SETTINGS.muon_lr * factor
            with torch.no_grad():
                values[place] *= 1 - lr * SETTINGS.weight_decay
                values[place] -= lr * max(1, rows / columns) ** 0.5 * update
    return [each.detach() for each in values]


@pytest.mark.parametrize("fused", [True, False])
def test_each_lane_makes_the_steps_of_its_own(fused: bool) -> None:
    model = mlp()
    matrices = hidden_matrices(model)
    shapes = [each.shape for each in trainable_parameters(model).values()]
    muon = {1, 3}
    assert [shapes[place] for place in sorted(muon)] == [torch.Size([6, 11]), torch.Size([6, 6])]
    width = sum(shape.numel() for shape in shapes)
    values = torch.randn(2, width)
    gradients = torch.randn(3, 2, width)
    wanted = []
    for lane in range(2):
        slopes = [cut(each[lane], shapes) for each in gradients]
        done = by_hand(cut(values[lane], shapes), slopes, muon)
        wanted.append(torch.cat([each.flatten() for each in done]))
    own = LaneOptimizer("muon", 2, width, torch.device("cpu"), matrices=matrices)
    own._fused = fused  # together, as on a GPU
    for step, gradient in enumerate(gradients):
        before = gradient.clone()
        own.step(values, gradient, [Rates(SETTINGS.lr / (step + 1), SETTINGS)] * 2)
        assert torch.equal(gradient, before)
    torch.testing.assert_close(values, torch.stack(wanted), rtol=1e-4, atol=1e-5)


def test_one_model_steps_as_a_lane() -> None:
    model = mlp()
    matrices = hidden_matrices(model)
    flat, gradient = flatten_parameters(model)
    lane = flat.clone()[None]
    own = build_optimizer(SETTINGS, model, flat, gradient)
    other = LaneOptimizer("muon", 1, flat.numel(), flat.device, matrices=matrices)
    for _ in range(3):
        gradient.normal_()
        own.step(0.5)
        other.step(lane, gradient[None], [Rates(SETTINGS.lr * 0.5, SETTINGS)])
    torch.testing.assert_close(flat, lane[0])


def test_the_rest_is_what_no_matrix_holds() -> None:
    matrices = hidden_matrices(mlp())
    width = sum(each.numel() for each in mlp().parameters())
    held = torch.zeros(width)
    for each in matrices:
        held[each.start : each.stop] += 1
    for part in others(matrices, width):
        held[part] += 1
    assert (held == 1).all()
    assert others((), 3) == [slice(0, 3)]


def test_its_rate_is_a_setting_of_its_trials_alone() -> None:
    def kept(**own: Any) -> Any:
        return fixed(TrainSettings(optimizer=OptimizerSettings(**own)))["optimizer"]

    assert kept(name="muon", muon_lr=0.1)["muon_lr"] == 0.1
    # Checkpoints of other optimizers are as before there was Muon.
    assert "muon_lr" not in kept(name="adamw")
