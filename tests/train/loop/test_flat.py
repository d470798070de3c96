import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from rayml.errors import ConfigError
from rayml.train.loop.flat import clip, flatten_parameters


def test_values_and_gradients_are_views_of_the_flat_tensors():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = [each.detach().clone() for each in model.parameters()]
    flat, gradient = flatten_parameters(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    model(torch.ones(4, 3)).sum().backward()
    own = torch.cat([each.grad.flatten() for each in model.parameters()])
    assert own.any()
    assert torch.equal(own, gradient)
    flat.zero_()
    assert not any(each.any() for each in model.parameters())


def test_shared_parameters_are_held_once_and_frozen_ones_left_out():
    model = nn.ModuleList(
        [nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(2, 2)]
    )
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    assert flatten_parameters(model).values.numel() == 4


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Linear(2, 2).double()])
def test_a_model_that_cannot_be_trained_in_float32_is_refused(model):
    with pytest.raises(ConfigError, match="trainable parameters"):
        flatten_parameters(model)


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
