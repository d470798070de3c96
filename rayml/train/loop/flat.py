"""All parameters of a model as one flat tensor, and their gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from rayml.errors import ConfigError


class FlatParameters(NamedTuple):
    """Parameters and gradients of a model, each float32 [number of parameters]."""

    values: torch.Tensor
    gradient: torch.Tensor


def flatten_parameters(model: nn.Module) -> FlatParameters:
    """Move a model's trainable parameters, and their gradients, into one flat tensor each.

    The model's parameters become views. The optimizer, the gradient's norm and its reset then
    cost one kernel each instead of one a parameter, which for small models takes a step to two
    thirds of its time.

    Args:
        model: on its final device; moving it afterwards would break the views.

    Raises:
        ConfigError: the model has no trainable parameter, or one that is not float32.
    """
    parameters = list(trainable_parameters(model).values())
    flat = torch.cat([each.detach().flatten() for each in parameters])
    gradient = torch.zeros_like(flat)
    start = 0
    for each in parameters:
        stop = start + each.numel()
        each.data = flat[start:stop].view(each.shape)
        each.grad = gradient[start:stop].view(each.shape)
        start = stop
    return FlatParameters(flat, gradient)


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name.

    Raises:
        ConfigError: there is none, or one that is not float32.
    """
    found = {name: each for name, each in model.named_parameters() if each.requires_grad}
    kinds = {each.dtype for each in found.values()}
    if kinds != {torch.float32}:
        raise ConfigError(
            "the model has trainable parameters that are not float32"
            if kinds
            else "the model has no trainable parameters",
            found=sorted(str(kind) for kind in kinds),
            remedy="Correct the class that model._target_ names",
        )
    return found


def clip(gradient: torch.Tensor, norm: float) -> None:
    """Scale a flat gradient in place so that its L2 norm is at most `norm`."""
    # No branch on the norm: reading it would wait for the device.
    gradient.mul_((norm / (gradient.norm() + 1e-12)).clamp(max=1.0))
