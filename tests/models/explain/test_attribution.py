"""Attributions are complete, and exact where the integral is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rayml.errors import ExplainError
from rayml.models.explain.attribution import Attribution, attribute
from rayml.models.explain.entrances import Entrances
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.types import FeatureShape

CPU = torch.device("cpu")
SHAPE = FeatureShape(3, (4, 2))


def first(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs[:, 0]


def probability(outputs: Tensor, codes: Tensor) -> Tensor:
    return outputs.softmax(1).gather(1, codes.unsqueeze(1)).squeeze(1)


def explained(
    module: nn.Module,
    rows: tuple[Tensor, Tensor],
    baseline: tuple[Tensor, Tensor],
    score: Callable[[Tensor, Tensor], Tensor] = first,
    target: Tensor | None = None,
    **options: float,
) -> Attribution:
    entrances = Entrances(module.eval().requires_grad_(False), SHAPE, CPU)
    target = torch.zeros(len(rows[0]), dtype=torch.int64) if target is None else target
    limits = {"tolerance": 1e-3, "max_steps": 4096, **options}
    return attribute(entrances, score, rows, baseline, target, **limits)  # type: ignore[arg-type]


def rows_of(seed: int, count: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(n, (count,), generator=generator) for n in SHAPE.cardinalities]
    return spread * torch.randn(count, 3, generator=generator), torch.stack(codes, 1)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from([MLP, TabularResNet]),
    outputs=st.integers(2, 5),
    seed=st.integers(0, 1000),
    gain=st.floats(0.5, 2.0),
)
def test_attributions_add_up_to_the_difference(
    kind: type[nn.Module], outputs: int, seed: int, gain: float
) -> None:
    torch.manual_seed(seed)
    module = kind(SHAPE, outputs, width=16)  # type: ignore[call-arg]
    for parameter in module.parameters():
        parameter.data *= gain
    rows, baseline = rows_of(seed, 6, 2.0), rows_of(seed + 1, 1)
    target = torch.arange(6) % outputs
    found = explained(module, rows, baseline, probability, target)
    own = probability(module(*rows), target).double()
    base = probability(module(*(each.expand(6, -1) for each in baseline)), target).double()
    torch.testing.assert_close(found.score, own, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.baseline, base, rtol=0, atol=1e-6)
    assert ((own - base - found.features.sum(1)).abs() <= 1e-3).all()
    assert (found.delta.abs() <= 1e-3).all()


class Linear(nn.Module):
    """w x + a vector of each code, times another; the third numeric column is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -3.0, 0.0]))
        self.tables = nn.ModuleList(nn.Embedding(n, 2) for n in SHAPE.cardinalities)
        self.mix = nn.Parameter(torch.tensor([0.5, -1.5]))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        result = numeric @ self.weight
        for index, table in enumerate(self.tables):
            result = result + table(categorical[:, index]) @ self.mix
        return result.unsqueeze(1)


def test_those_of_a_linear_model_are_its_terms() -> None:
    torch.manual_seed(0)
    module = Linear()
    rows, baseline = rows_of(0, 7), rows_of(1, 1)
    found = explained(module, rows, baseline)
    numeric = module.weight * (rows[0] - baseline[0])
    codes = [
        (table(rows[1][:, i]) - table(baseline[1][:, i])) @ module.mix
        for i, table in enumerate(module.tables)
    ]
    exact = torch.cat([numeric, torch.stack(codes, 1)], 1).double()
    torch.testing.assert_close(found.features, exact, rtol=1e-5, atol=1e-6)
    assert (found.features[:, 2] == 0).all()
    assert (found.steps == 32).all()


class Product(nn.Module):
    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return (numeric[:, :1] * numeric[:, 1:2]) + numeric[:, 2:3] ** 3


def test_those_of_a_polynomial_are_its_integral() -> None:
    # Along t (x, y) the gradient of x y is t (y, x), so each has a half.
    rows = (torch.tensor([[2.0, 3.0, 2.0]]), torch.zeros(1, 2, dtype=torch.int64))
    baseline = (torch.zeros(1, 3), torch.zeros(1, 2, dtype=torch.int64))
    found = explained(Product(), rows, baseline)
    assert found.features[0, :3].tolist() == pytest.approx([3.0, 3.0, 8.0], rel=1e-6)


class Kink(nn.Module):
    """Bends sharply at one place of the path."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return ((numeric[:, :1] - 0.123456) * 1000).relu() + numeric[:, 1:2]


def test_steps_are_spent_where_the_model_bends() -> None:
    zero = torch.zeros(2, 2, dtype=torch.int64)
    rows = (torch.tensor([[1.0, 1.0, 0.0], [0.1, 1.0, 0.0]]), zero)
    found = explained(Kink(), rows, (torch.zeros(1, 3), zero[:1]))
    assert found.features[0, 0].item() == pytest.approx(876.544, rel=1e-3)
    assert found.features[:, 1].tolist() == pytest.approx([1.0, 1.0])
    # A uniform rule takes about a thousand steps for this accuracy.
    assert 32 < found.steps[0] <= 32 + 8 * 10
    assert found.steps[1] == 32


class Step(nn.Module):
    """Has a gradient, which is 0 where it jumps."""

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return (numeric[:, :1] > 0.3).float() + 0 * numeric[:, :1]


def test_what_does_not_converge_ends_and_says_so() -> None:
    zero = torch.zeros(1, 2, dtype=torch.int64)
    found = explained(
        Step(), (torch.ones(1, 3), zero), (torch.zeros(1, 3), zero), tolerance=0.1, max_steps=200
    )
    assert found.delta.tolist() == [1.0]
    assert 192 <= found.steps[0] <= 200


def test_the_baseline_itself_is_explained_by_nothing() -> None:
    torch.manual_seed(0)
    baseline = rows_of(3, 1)
    found = explained(MLP(SHAPE, 1), baseline, baseline)
    assert (found.features == 0).all()
    assert (found.delta == 0).all()


def test_rows_do_not_depend_on_their_company() -> None:
    torch.manual_seed(0)
    module = MLP(SHAPE, 1, width=32)
    rows, baseline = rows_of(0, 300, 3.0), rows_of(1, 1)
    together = explained(module, rows, baseline)
    alone = explained(module, (rows[0][7:8], rows[1][7:8]), baseline)
    torch.testing.assert_close(together.features[7], alone.features[0], rtol=1e-4, atol=1e-5)


def test_the_work_can_be_ended() -> None:
    def never() -> None:
        raise InterruptedError

    entrances = Entrances(MLP(SHAPE, 1).eval().requires_grad_(False), SHAPE, CPU)
    rows = rows_of(0, 2)
    with pytest.raises(InterruptedError):
        attribute(
            entrances,
            first,
            rows,
            rows_of(1, 1),
            torch.zeros(2, dtype=torch.int64),
            tolerance=1e-3,
            max_steps=64,
            proceed=never,
        )


def test_without_captum_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExplainError, match=r"rayml\[explain\]"):
        explained(MLP(SHAPE, 1), rows_of(0, 1), rows_of(1, 1))
