"""The contract of models: rayml's own keep it, and a model that breaks it is told how."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rayml.models.nets.ft_transformer import FTTransformer
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.models.nets.tabm import TabM
from rayml.testing.models import ModelTests, check_model
from rayml.types import FeatureShape
from tests.odd_models import BatchNorm, Complex, Drawn, Empty, Frozen, Lazy, Plain, Wide, Writes


class TestMLP(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return MLP(shape, outputs, width=8, depth=2, dropout=0.3)


class TestResNet(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return TabularResNet(shape, outputs, width=8, depth=1)


class TestFTTransformer(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return FTTransformer(shape, outputs, width=8, heads=2, depth=2, residual_dropout=0.1)


class TestTabM(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return TabM(shape, outputs, k=3, width=8, depth=2, dropout=0.3)


class TestTabMFull(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return TabM(shape, outputs, k=3, form="full", width=8, depth=2, numeric="plr")


class TestTabMPacked(ModelTests):
    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        return TabM(shape, outputs, k=2, form="packed", width=8, depth=1)


class Neighbours(Plain):
    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x - x.mean(0))


class Unseeded(Plain):
    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        generator = torch.Generator()
        generator.seed()
        nn.init.uniform_(self.first.weight, generator=generator)


class Forgetful(Plain):
    """Keeps what it has seen where no checkpoint looks."""

    seen = 0.0

    def hidden(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += x.abs().mean().item()
        return super().hidden(x) + self.seen


class Remembers(Plain):
    """Keeps something in its state that is no tensor."""

    def get_extra_state(self) -> object:
        return {"seen": 1}

    def set_extra_state(self, state: object) -> None:
        pass


class Shared(Plain):
    """Says that its gain may differ between lanes, where all read that of the first."""

    lane_attributes = ("gain",)

    def __init__(self, shape: FeatureShape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.gain = float(torch.rand(())) * 4

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x) * self.gain


@pytest.mark.parametrize("model", [Plain, BatchNorm, Lazy, Frozen, Drawn])
def test_a_sound_model_passes(model: type[nn.Module]) -> None:
    check_model(model)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Writes, "forward writes to numeric"),
        (Wide, r"it returns \(12, 2\)"),
        (Empty, "nothing to train|it returns"),
        (Complex, "phase is torch.complex64"),
        (Neighbours, "beside other rows"),
        (Unseeded, "first.weight does not follow from the seed|as lane 0 its loss is"),
        (Forgetful, "make the rest a buffer"),
        (Remembers, "_extra_state of its state_dict is a dict"),
        (Shared, "as lane 1 its loss is|make the rest a buffer"),
    ],
)
def test_what_breaks_the_contract_is_told(model: type[nn.Module], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_model(model)
