"""What lanes must share is found by building models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.train.lanes.structure import live_keys, same_structure, structural_values
from rayml.types import FeatureShape

SHAPE = FeatureShape(numeric=3, cardinalities=(4, 5))
MLP_ALTERNATIVES: dict[str, tuple[Any, ...]] = {
    "model.width": (8, 16),
    "model.depth": (1, 3),
    "model.dropout": (0.0, 0.5),
    "model.embedding": (None, 7),
}


class Gain(nn.Module):
    """Holds one searched value as a number, the other one as a tensor."""

    def __init__(self, gain: float, shift: float) -> None:
        super().__init__()
        if gain > 5:
            raise ValueError("too much")
        self.gain = gain
        self.register_buffer("shift", torch.tensor(shift))


def mlp(params: Mapping[str, Any]) -> nn.Module:
    return MLP(
        SHAPE, 1, **{key.removeprefix("model."): v for key, v in params.items() if "model" in key}
    )


def test_shapes_are_shared_and_rates_are_not() -> None:
    params = {
        "model.width": 8, "model.depth": 1, "model.dropout": 0.1, "model.embedding": None,
        "train.batch_size": 64, "train.optimizer.lr": 0.1, "train.optimizer.name": "adamw",
        "train.seed": 3, "train.schedule.warmup": 0.1, "task.metric": "auroc",
    }  # fmt: skip
    assert structural_values(params, MLP_ALTERNATIVES, mlp) == {
        "model.width": 8, "model.depth": 1, "model.embedding": None,
        "train.batch_size": 64, "train.optimizer.name": "adamw", "task.metric": "auroc",
    }  # fmt: skip


def test_frequencies_may_start_otherwise_in_lanes_and_are_as_many_in_all() -> None:
    params = {"model.numeric": "plr", "model.frequencies": 4, "model.sigma": 0.1, "train.ema": 0.9}
    alternatives = {
        "model.numeric": ("plr", "plr_lite", "none"),
        "model.frequencies": (4, 8),
        "model.sigma": (0.1, 1.0),
    }
    assert structural_values(params, alternatives, mlp) == {
        "model.numeric": "plr", "model.frequencies": 4,
    }  # fmt: skip
    assert live_keys(params, alternatives, mlp) == set()


def test_a_value_that_a_module_keeps_as_a_number_is_shared() -> None:
    params = {"model.gain": 1.0, "model.shift": 0.0}

    def build(params: Mapping[str, Any]) -> nn.Module:
        return Gain(params["model.gain"], params["model.shift"])

    alternatives = {"model.gain": (1.0, 2.0), "model.shift": (0.0, 1.0)}
    assert structural_values(params, alternatives, build) == {"model.gain": 1.0}


def test_a_value_that_no_model_takes_is_no_lane_value() -> None:
    def build(params: Mapping[str, Any]) -> nn.Module:
        return Gain(1.0, params["model.shift"]) if params["model.shift"] < 1 else Gain(9.0, 0.0)

    alternatives = {"model.shift": (0.0, 1.0)}
    assert structural_values({"model.shift": 0.0}, alternatives, build) == {"model.shift": 0.0}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (MLP(SHAPE, 1), MLP(SHAPE, 1, dropout=0.0), True),
        (MLP(SHAPE, 1), MLP(SHAPE, 1, depth=3), False),
        (MLP(SHAPE, 1), MLP(SHAPE, 1, width=3), False),
        (MLP(SHAPE, 1), TabularResNet(SHAPE, 1), False),
        (MLP(SHAPE, 1), MLP(FeatureShape(3, (5, 4)), 1), False),  # other offsets
        (TabularResNet(SHAPE, 1), TabularResNet(SHAPE, 1, residual_dropout=0.4), True),
        (nn.LayerNorm(3), nn.LayerNorm(3, eps=1e-3), False),
        (nn.Linear(3, 2), nn.Linear(3, 2), True),
    ],
)
def test_models_of_one_structure(one: nn.Module, other: nn.Module, same: bool) -> None:
    assert same_structure(one, other) is same


class Scaled(nn.Module):
    """Has one value in its state, and one beside it."""

    def __init__(self, start: float, limit: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))
        self.register_buffer("limit", torch.tensor(limit), persistent=False)


def test_a_trial_may_change_what_lies_beside_its_state() -> None:
    params = {
        "model.start": 1.0, "model.limit": 2.0, "train.optimizer.lr": 0.1, "train.clip_norm": None,
        "train.epochs": 3, "train.seed": 3, "train.patience": 2, "train.batch_size": 64,
    }  # fmt: skip
    alternatives = {"model.start": (0.0, 1.0), "model.limit": (0.0, 2.0)}

    def build(params: Mapping[str, Any]) -> nn.Module:
        return Scaled(params["model.start"], params["model.limit"])

    assert live_keys(params, alternatives, build) == {
        "model.limit", "train.optimizer.lr", "train.clip_norm",
    }  # fmt: skip
    params = {"model.width": 8, "model.depth": 1, "model.dropout": 0.1, "model.embedding": None}

    def seeded(params: Mapping[str, Any]) -> nn.Module:
        torch.manual_seed(0)
        return mlp(params)

    assert live_keys(params, MLP_ALTERNATIVES, seeded) == {"model.dropout"}
