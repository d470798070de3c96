"""A model's inputs are its own, unless it is known not to write to them."""

from __future__ import annotations

import pytest
import torch

from rayml.models.ensemble import Ensemble, stack_weights
from rayml.models.modules.lending import lend
from rayml.models.nets.mlp import MLP
from rayml.types import FeatureShape
from tests.odd_models import Plain, Writes

SHAPE = FeatureShape(3, (4,))


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(6, 3, generator=generator)
    return numbers, torch.randint(4, (6, 1), generator=generator)


def test_raymls_own_models_get_what_there_is_and_others_copies() -> None:
    numeric, codes = inputs()
    assert lend(MLP(SHAPE, 1), numeric, codes)[0] is numeric
    for given, own in zip(lend(Plain(SHAPE, 1), numeric, codes), (numeric, codes), strict=True):
        assert torch.equal(given, own)
        assert given.data_ptr() != own.data_ptr()


@pytest.mark.parametrize("kept", [True, False], ids=["together", "one by one"])
def test_a_member_that_writes_leaves_the_inputs_of_the_others(kept: bool) -> None:
    torch.manual_seed(0)
    members = [Writes(SHAPE, 1) for _ in range(3)]
    weights = stack_weights([each.state_dict() for each in members])
    ensemble = Ensemble(lambda: Writes(SHAPE, 1), weights, inputs())
    if not kept:
        ensemble.stacked, ensemble._models = False, ensemble.apart()
    numeric, codes = inputs()
    together = ensemble(numeric, codes)
    assert torch.equal(numeric, inputs()[0])
    with torch.no_grad():
        alone = torch.stack([member(*inputs()) for member in members])
    assert torch.allclose(together, alone, atol=1e-6)
