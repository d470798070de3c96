"""Lazy modules are ordinary ones once they are built."""

from __future__ import annotations

import torch
from torch import nn

from rayml.models.modules.lazy import materialise
from rayml.types import FeatureShape
from tests.odd_models import Lazy, LazyNorm, Plain

SHAPE = FeatureShape(5, (3, 4))


def test_shapes_come_from_the_features_and_the_mode_stays() -> None:
    for make in (Lazy, LazyNorm):
        model = make(SHAPE, 2)
        materialise(model, SHAPE)
        assert type(model.first) is nn.Linear
        assert model.training
        assert model(torch.zeros(3, 5), torch.zeros(3, 2, dtype=torch.int64)).shape == (3, 2)


def test_an_ordinary_module_is_not_run() -> None:
    model = Plain(SHAPE, 1)
    model.register_forward_pre_hook(lambda *_: 1 / 0)
    materialise(model, SHAPE)
