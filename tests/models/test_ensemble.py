"""Members run together give what each gives alone, and a module that cannot is run one by one."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from rayml.models.ensemble import Ensemble, stack_weights
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.types import FeatureShape

SHAPE = FeatureShape(3, (4, 5))


def inputs(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    numeric = torch.randn(rows, 3, generator=generator)
    return numeric, torch.randint(4, (rows, 2), generator=generator)


class Tied(nn.Module):
    """One layer under two names, and a buffer that no state_dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = self.first
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("factor", torch.tensor(0.5), persistent=False)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return self.factor * self.second(self.norm(self.first(numeric)))


class Branching(nn.Module):
    """Looks at a value of its weights, which a mapped module cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(numeric)
        return result if self.layer.weight[0, 0].item() > 0 else -result


class Random(nn.Module):
    """Draws in evaluation too, so that no two passes agree."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        return self.layer(numeric) + torch.randn(())


class Plain(MLP):
    """A subclass has no folded form."""


MODULES = {
    "mlp": lambda: MLP(SHAPE, 2, width=16),
    "plain": lambda: Plain(SHAPE, 2, width=16),
    "resnet": lambda: TabularResNet(SHAPE, 2, width=16),
    "tied": Tied,
    "branching": Branching,
}


@pytest.mark.parametrize("name", MODULES)
def test_members_together_give_what_each_gives_alone(name: str) -> None:
    make = MODULES[name]
    models = [make().eval() for _ in range(4)]
    ensemble = Ensemble(make, stack_weights([each.state_dict() for each in models]), inputs(8))
    assert ensemble.members == 4
    assert ensemble.folded == (name in {"mlp", "resnet"})
    assert ensemble.stacked == (name in {"plain", "tied"})
    for rows in (1, 33):
        numeric, categorical = inputs(rows, seed=1)
        outputs = ensemble(numeric, categorical)
        assert len(outputs) == 4
        for model, own in zip(models, outputs, strict=True):
            torch.testing.assert_close(own, model(numeric, categorical), rtol=1e-5, atol=1e-5)


def test_members_share_the_stack_and_those_apart_do_not() -> None:
    make = MODULES["mlp"]
    weights = stack_weights([make().state_dict() for _ in range(3)])
    ensemble = Ensemble(make, weights, inputs(8))
    before = ensemble(*inputs(5))
    for module in ensemble.apart():
        for each in module.parameters():
            each.data.zero_()
    assert torch.equal(ensemble(*inputs(5)), before)
    held = {each.untyped_storage().data_ptr() for each in weights.values()}
    for model in ensemble._models:
        assert {each.untyped_storage().data_ptr() for each in model.parameters()} <= held


def test_very_many_members_run_as_one() -> None:
    make = MODULES["mlp"]
    models = [make().eval() for _ in range(11)]
    ensemble = Ensemble(make, stack_weights([each.state_dict() for each in models]), inputs(8))
    assert (ensemble.folded, ensemble.stacked) == (False, True)
    outputs = ensemble(*inputs(4))
    for model, own in zip(models, outputs, strict=True):
        torch.testing.assert_close(own, model(*inputs(4)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "why"), [(Branching, "RuntimeError: "), (Random, "other outputs than alone")]
)
def test_a_module_that_cannot_be_mapped_is_told_in_one_line(
    module: type[nn.Module], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    weights = stack_weights([module().state_dict() for _ in range(2)])
    with caplog.at_level(logging.WARNING):
        ensemble = Ensemble(module, weights, inputs(8))
    assert not ensemble.stacked
    [record] = caplog.records
    line = record.getMessage()
    assert module.__name__ in line
    assert why in line
    assert "\n" not in line
    assert ensemble(*inputs(3)).shape == (2, 3, 2)


@pytest.mark.parametrize("name", ["mlp", "plain"])
def test_threads_do_not_disturb_one_another(name: str) -> None:
    make = MODULES[name]
    weights = stack_weights([make().state_dict() for _ in range(3)])
    ensemble = Ensemble(make, weights, inputs(8))
    batches = [inputs(5 + n % 7, seed=n) for n in range(200)]
    alone = [ensemble(*batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda batch: ensemble(*batch), batches))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = stack_weights([MLP(SHAPE, 2, width=8).state_dict() for _ in range(2)])
    with pytest.raises(RuntimeError, match="size mismatch"):
        Ensemble(MODULES["mlp"], weights, inputs(8))
    weights["head.bias"] = torch.zeros(3, 2)
    with pytest.raises(RuntimeError, match="different numbers of members"):
        Ensemble(MODULES["mlp"], weights, inputs(8))
