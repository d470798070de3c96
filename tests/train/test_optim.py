import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from rayml.train.optim import build_optimizer, clip, rate
from rayml.types import OptimizerSettings, ScheduleSettings

SCHEDULES = st.builds(
    ScheduleSettings, name=st.sampled_from(["cosine", "constant"]), warmup=st.floats(0, 0.99)
)


@given(SCHEDULES, st.integers(1, 500))
def test_a_rate_is_positive_and_at_most_the_peak(schedule, total):
    rates = [rate(schedule, step, total) for step in range(total)]
    assert all(0 < each <= 1 for each in rates)
    assert max(rates) == 1


@given(SCHEDULES, st.integers(2, 500))
def test_rates_rise_through_the_warm_up_and_never_afterwards(schedule, total):
    rates = [rate(schedule, step, total) for step in range(total)]
    peak = rates.index(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_cosine_ends_near_zero_and_constant_at_the_peak():
    assert rate(ScheduleSettings(name="cosine"), 999, 1000) < 1e-5
    assert rate(ScheduleSettings(name="cosine"), 500, 1000) == pytest.approx(0.5)
    assert rate(ScheduleSettings(name="constant"), 999, 1000) == 1


@given(st.lists(st.floats(-100, 100, width=32), min_size=1), st.floats(0.01, 100))
def test_clipping_bounds_the_norm_and_keeps_the_direction(values, norm):
    gradient = torch.tensor(values)
    assume(float(gradient.norm()) > 1e-3)
    clipped = gradient.clone()
    clip(clipped, norm)
    assert float(clipped.norm()) <= norm * 1.0001
    if float(gradient.norm()) <= norm:
        torch.testing.assert_close(clipped, gradient)
    torch.testing.assert_close(clipped / clipped.norm(), gradient / gradient.norm())


def step_once(settings: OptimizerSettings) -> float:
    weight = nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([0.5])
    build_optimizer([weight], settings).step()
    return float(weight.detach())


def test_adamw_decays_apart_from_the_gradient():
    # The first step of Adam is the learning rate itself, in the gradient's direction.
    settings = OptimizerSettings(name="adamw", lr=0.1, weight_decay=0.5)
    assert step_once(settings) == pytest.approx(2 - 0.1 * 0.5 * 2 - 0.1, abs=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_decays_through_the_gradient_with_nesterov_momentum(momentum):
    settings = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.5, momentum=momentum)
    gradient = 0.5 + 0.5 * 2
    assert step_once(settings) == pytest.approx(2 - 0.1 * gradient * (1 + momentum), abs=1e-6)
