from __future__ import annotations

import pytest
import torch
from torch import nn

from rayml.settings.train import OptimizerSettings
from rayml.train.optimizers.optim import LaneOptimizer, Rates

CPU = torch.device("cpu")
ADAMW = OptimizerSettings(name="adamw", lr=0.1, weight_decay=0.5, beta1=0.8, beta2=0.99)
SGD = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.5, momentum=0.9)
PLAIN_SGD = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.5, momentum=0.0)


def peer(weight: nn.Parameter, settings: OptimizerSettings) -> torch.optim.Optimizer:
    if settings.name == "adamw":
        betas = (settings.beta1, settings.beta2)
        decay = settings.weight_decay
        return torch.optim.AdamW([weight], settings.lr, betas=betas, weight_decay=decay)
    return torch.optim.SGD(
        [weight],
        settings.lr,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
    )


@pytest.mark.parametrize("settings", [ADAMW, SGD, PLAIN_SGD])
@pytest.mark.parametrize("fused", [True, False])
def test_each_lane_makes_the_steps_of_pytorchs_optimizer(settings, fused):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, generator=generator)
    own = LaneOptimizer(settings.name, 3, 5, CPU)
    own._fused = fused  # together, as on a GPU
    peers = [nn.Parameter(row.clone()) for row in values]
    optimizers = [peer(each, settings) for each in peers]
    for step in range(4):
        gradient = torch.randn(3, 5, generator=generator)
        # Their rates differ, and change as those of a schedule do.
        rates = [Rates(settings.lr * (lane + 1) / (step + 1), settings) for lane in range(3)]
        own.step(values, gradient, rates)
        for each, slope, optimizer, rate in zip(peers, gradient, optimizers, rates, strict=True):
            each.grad = slope.clone()
            optimizer.param_groups[0]["lr"] = rate.lr
            optimizer.step()
    torch.testing.assert_close(values, torch.stack([each.detach() for each in peers]))


def step_once(settings: OptimizerSettings) -> float:
    weight, slope = torch.tensor([[2.0]]), torch.tensor([[0.5]])
    LaneOptimizer(settings.name, 1, 1, CPU, alone=True).step(
        weight, slope, [Rates(settings.lr, settings)]
    )
    return weight.item()


def test_adamw_decays_apart_from_the_gradient():
    # The first step of Adam is the learning rate itself, in the gradient's direction.
    settings = OptimizerSettings(name="adamw", lr=0.1, weight_decay=0.5)
    assert step_once(settings) == pytest.approx(2 - 0.1 * 0.5 * 2 - 0.1, abs=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_decays_through_the_gradient_with_nesterov_momentum(momentum):
    settings = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.5, momentum=momentum)
    gradient = 0.5 + 0.5 * 2
    assert step_once(settings) == pytest.approx(2 - 0.1 * gradient * (1 + momentum), abs=1e-6)
