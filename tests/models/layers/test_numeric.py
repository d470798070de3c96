"""Embeddings of numbers: what they compute, alone, stacked and folded."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rayml.errors import ConfigError
from rayml.models.layers.folded import fold
from rayml.models.layers.numeric import (
    KINDS,
    NumericOptions,
    PeriodicEmbedding,
    PiecewiseEmbedding,
    edges,
)
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.tasks.table import build_task
from rayml.testing.models import ModelTests
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import Batch
from rayml.types import FeatureShape, TargetInfo

# A continuous column, one of two values, one of a single value, one of no value.
KNOTS = (tuple(np.linspace(-2, 2, 129).tolist()), (0.0, 1.0), (0.5,) * 129, ())
SHAPE = FeatureShape(4, (3, 5), KNOTS)
EMBEDDED = [kind for kind in KINDS if kind != "none"]
OPTIONS: dict[str, Any] = {"numeric_width": 3, "frequencies": 4, "bins": 6, "sigma": 0.5}


def known(shape: FeatureShape) -> FeatureShape:
    return replace(shape, knots=tuple(KNOTS[i % len(KNOTS)] for i in range(shape.numeric)))


def mlp(shape: FeatureShape, outputs: int, kind: Any, dropout: float = 0.1) -> MLP:
    own: dict[str, Any] = {"width": 8, "dropout": dropout, "numeric": kind, **OPTIONS}
    return MLP(shape, outputs, **own)


def resnet(shape: FeatureShape, outputs: int, kind: Any) -> TabularResNet:
    return TabularResNet(shape, outputs, width=8, depth=1, numeric=kind, **OPTIONS)


class TestPLR(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return mlp(known(shape), outputs, "plr")


class TestLite(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return mlp(known(shape), outputs, "plr_lite")


class TestPiecewise(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return mlp(known(shape), outputs, "piecewise")


class TestResNetPLR(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return resnet(known(shape), outputs, "plr")


class TestResNetPiecewise(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return resnet(known(shape), outputs, "piecewise")


def batch(shape: FeatureShape, *size: int) -> tuple[torch.Tensor, torch.Tensor]:
    codes = [torch.randint(n, size) for n in shape.cardinalities]
    none = torch.zeros(*size, 0, dtype=torch.int64)
    return torch.randn(*size, shape.numeric), torch.stack(codes, -1) if codes else none


def test_a_number_is_the_sines_and_cosines_of_its_frequencies() -> None:
    torch.manual_seed(0)
    layer = PeriodicEmbedding(2, 3, 4, 0.5, lite=False)
    x = torch.randn(5, 2)
    found = layer(x).view(5, 2, 3)
    for column in range(2):
        angle = 2 * math.pi * x[:, column : column + 1] * layer.frequencies[column]
        waves = torch.cat([angle.sin(), angle.cos()], 1)
        wanted = (waves @ layer.weight[column] + layer.bias[column]).relu()
        torch.testing.assert_close(found[:, column], wanted)


def test_columns_share_the_linear_layer_of_the_lite_form() -> None:
    torch.manual_seed(0)
    lite = PeriodicEmbedding(3, 2, 4, 0.5, lite=True)
    full = PeriodicEmbedding(3, 2, 4, 0.5, lite=False)
    with torch.no_grad():
        full.frequencies.copy_(lite.frequencies)
        full.weight.copy_(lite.weight.expand(3, -1, -1))
        full.bias.copy_(lite.bias.expand(3, -1))
    x = torch.randn(7, 3)
    torch.testing.assert_close(lite(x), full(x))
    assert lite.weight.shape == (8, 2)


def test_an_encoding_says_how_much_of_each_bin_lies_below() -> None:
    shape = FeatureShape(1, (), ((0.0, 1.0, 3.0),))
    layer = PiecewiseEmbedding(shape, 1, 2)
    x = torch.tensor([[-1.0], [0.25], [2.0], [9.0]])
    coded = layer._coded(x)[0]
    wanted = [[-1.0, 0.0, 0.0], [0.25, 0.25, 0.0], [2.0, 1.0, 0.5], [9.0, 1.0, 1.0]]
    assert coded.tolist() == wanted


def test_a_network_begins_with_plain_numbers() -> None:
    layer = PiecewiseEmbedding(SHAPE, 2, 6)
    x = torch.randn(5, 4)
    wanted = x[..., None] * layer.weight[:, 0] + layer.bias
    torch.testing.assert_close(layer(x), wanted.flatten(1))


@pytest.mark.parametrize(
    ("knots", "bins", "wanted"),
    [
        ((), 4, []),
        ((2.0, 2.0, 2.0), 4, [2.0]),
        ((0.0, 1.0), 4, [0.0, 1.0]),
        ((0.0, 0.0, 0.0, 0.0, 5.0), 4, [0.0, 5.0]),
        ((0.0, 1.0, 2.0, 3.0, 4.0), 2, [0.0, 2.0, 4.0]),
        ((1.0, 1.0 + 1e-12), 1, [1.0]),
    ],
)
def test_equal_quantiles_make_one_edge(knots: Any, bins: int, wanted: list[float]) -> None:
    assert edges(knots, bins).tolist() == wanted


def test_narrow_bins_far_from_zero_keep_their_shares() -> None:
    low = 1000.0
    high = float(np.nextafter(np.float32(low), np.float32(2000)))
    layer = PiecewiseEmbedding(FeatureShape(1, (), ((low, high),)), 1, 1)
    coded = layer._coded(torch.tensor([[low], [high]]))[0]
    assert coded[:, 1].tolist() == [0.0, 1.0]


def test_bins_that_differ_by_less_than_a_float_can_invert_stay_finite() -> None:
    layer = PiecewiseEmbedding(FeatureShape(1, (), ((0.0, 1e-45),)), 2, 3)
    assert layer(torch.tensor([[0.0], [1.0]])).isfinite().all()


@pytest.mark.parametrize("kind", EMBEDDED)
@pytest.mark.parametrize("shape", [SHAPE, FeatureShape(4, (), KNOTS)])
@pytest.mark.parametrize("own_rows", [False, True])
def test_written_passes_are_those_of_autograd(
    kind: str, shape: FeatureShape, own_rows: bool
) -> None:
    torch.manual_seed(0)
    stack = StackedModel([mlp(shape, 1, kind, dropout) for dropout in (0.0, 0.3, 0.5)])
    stack.train()
    stack.values.add_(0.1 * torch.randn_like(stack.values))  # else the encodings have no weights
    keys = torch.randint(-(2**31), 2**31, (stack.dropouts, 3))
    stack.set_dropout_keys(keys.to(torch.int32))
    size = (3, 9) if own_rows else (9,)
    data = Batch(*batch(shape, *size), torch.randn(*size))
    task = build_task(TargetInfo("y", "regression", mean=2.0, scale=3.0))
    found = []
    for written in (True, False):
        gradients = LaneGradients(stack, task, bfloat16=False)
        assert gradients._passes is not None
        if not written:
            gradients._passes = None
        into = torch.full_like(stack.values, torch.nan)
        found.append((gradients(data, torch.zeros(3, 1), into), into))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", EMBEDDED)
@pytest.mark.parametrize("make", [mlp, resnet])
@pytest.mark.parametrize("shape", [SHAPE, FeatureShape(4, (), KNOTS), FeatureShape(2, (3,))])
@pytest.mark.parametrize("rows", [1, 50])
def test_the_outputs_of_the_folded_form_are_those_of_the_model(
    kind: str, make: Any, shape: FeatureShape, rows: int
) -> None:
    torch.manual_seed(0)
    model = make(known(shape), 2, kind).eval()
    for each in model.parameters():
        torch.nn.init.normal_(each)
    form = fold(model)
    assert form is not None
    inputs = batch(shape, rows)
    with torch.inference_mode():
        torch.testing.assert_close(form(*inputs), model(*inputs), rtol=1e-3, atol=1e-3)


def test_a_lanes_weights_hold_its_bins() -> None:
    models = [mlp(SHAPE, 1, "piecewise") for _ in range(2)]
    wanted = models[1].state_dict()
    stack = StackedModel(models)
    state = stack.state(1, stack.values, stack.buffers)
    assert state.keys() == wanted.keys()
    loaded = mlp(replace(SHAPE, knots=((0.0, 9.0),) * 4), 1, "piecewise")
    loaded.load_state_dict(state)
    inputs = batch(SHAPE, 5)
    reference = mlp(SHAPE, 1, "piecewise")
    reference.load_state_dict(state)
    assert torch.equal(loaded.eval()(*inputs), reference.eval()(*inputs))


def test_without_numbers_nothing_is_embedded() -> None:
    for kind in KINDS:
        model = mlp(FeatureShape(0, (3,)), 1, kind)
        assert model.embedding.numbers is None


def test_a_model_without_the_option_has_the_weights_of_before() -> None:
    assert list(MLP(SHAPE, 1, depth=0).state_dict()) == [
        "embedding.table", "head.weight", "head.bias",
    ]  # fmt: skip


def test_piecewise_needs_the_quantiles_of_the_data() -> None:
    with pytest.raises(ConfigError, match="have no quantiles"):
        mlp(FeatureShape(2), 1, "piecewise")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "plrs"}, "no known kind"),
        ({"width": 0}, "numeric_width is out of range"),
        ({"frequencies": 0}, "frequencies is out of range"),
        ({"bins": 129}, "bins is out of range"),
        ({"sigma": 0.0}, "sigma is no positive number"),
        ({"sigma": math.nan}, "sigma is no positive number"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NumericOptions(**changed)
