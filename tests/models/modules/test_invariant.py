from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from rayml.models.layers.folded import Forward, fold
from rayml.models.modules.invariant import BLOCK, InvariantForward, blocks
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.types import FeatureShape

CPU = torch.device("cpu")
ROWS = 140
SHAPES = {
    "numbers": FeatureShape(30, ()),
    "both": FeatureShape(7, (9, 12, 5, 40)),
    "categories": FeatureShape(0, (3, 50)),
}
MODELS = {
    "mlp": lambda shape: MLP(shape, 1),
    "odd mlp": lambda shape: MLP(shape, 3, width=77, depth=3),
    "resnet": lambda shape: TabularResNet(shape, 2, width=48),
    "plr": lambda shape: MLP(shape, 1, numeric="plr", numeric_width=5, frequencies=7),
    "piecewise": lambda shape: MLP(known(shape), 1, numeric="piecewise", bins=9),
}


def known(shape: FeatureShape) -> FeatureShape:
    return replace(shape, knots=((-2.0, -1.0, 0.1, 0.5, 3.0),) * shape.numeric)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def batch(shape: FeatureShape, rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    numeric = torch.randn(rows, shape.numeric, generator=generator) * 3
    codes = [torch.randint(n, (rows,), generator=generator) for n in shape.cardinalities]
    return numeric, torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64)


def same_in_all_batches(
    forward: Forward, numeric: torch.Tensor, categorical: torch.Tensor, most: int = ROWS
) -> None:
    """Each row has the same bits in batches of each size, among neighbours drawn at random."""
    alone = torch.cat(
        [forward(numeric[row : row + 1], categorical[row : row + 1]) for row in range(ROWS)], -2
    )
    generator = torch.Generator().manual_seed(4)
    for size in range(1, most + 1):
        rows = torch.randint(ROWS, (size,), generator=generator)
        # A batch may also begin anywhere in memory.
        shifted = torch.cat([numeric[:1], numeric[rows]])[1:]
        assert torch.equal(forward(shifted, categorical[rows]), alone[..., rows, :]), size


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("folded", [True, False])
def test_a_row_has_the_same_bits_in_every_batch(model: str, shape: str, folded: bool) -> None:
    torch.manual_seed(0)
    module = MODELS[model](SHAPES[shape]).eval().requires_grad_(False)
    forward = fold(module) if folded else module
    assert forward is not None
    invariant = InvariantForward(forward, SHAPES[shape], CPU, rows_apart=True)
    same_in_all_batches(invariant, *batch(SHAPES[shape]))
    numeric, categorical = batch(SHAPES[shape])
    assert torch.allclose(
        invariant(numeric, categorical), forward(numeric, categorical), rtol=1e-4, atol=1e-5
    )
    assert invariant(numeric[:0], categorical[:0]).shape[-2] == 0


class Mixing(nn.Module):
    """What a row becomes depends on its neighbours, and on how many they are."""

    def forward(self, numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        numeric.mul_(0.5)
        return (numeric - numeric.mean(0)).sum(1, keepdim=True) + numeric.sum(1, keepdim=True)


def test_a_module_that_mixes_rows_gets_them_one_by_one() -> None:
    numeric, categorical = batch(SHAPES["numbers"])
    before = numeric.clone()
    for rows_apart in (False, True):
        invariant = InvariantForward(Mixing(), SHAPES["numbers"], CPU, rows_apart=rows_apart)
        assert invariant.sizes == (1,)
        same_in_all_batches(invariant, numeric, categorical, most=40)
    assert torch.equal(numeric, before)


@pytest.mark.parametrize("bad", [4, 16, 128])
def test_a_size_that_disagrees_in_one_place_is_not_used(bad: int) -> None:
    module = MLP(SHAPES["numbers"], 1).eval().requires_grad_(False)

    def forward(numeric: torch.Tensor, categorical: torch.Tensor) -> torch.Tensor:
        outputs = torch.cat([module(row[None], categorical[:1]) for row in numeric])
        if len(numeric) == bad:
            outputs[-1] = torch.nextafter(outputs[-1], outputs[-1] + 1)
        return outputs

    invariant = InvariantForward(forward, SHAPES["numbers"], CPU, rows_apart=True)
    assert invariant.sizes == tuple(size for size in (128, 64, 32, 16, 8, 4, 2) if size != bad)
    same_in_all_batches(invariant, *batch(SHAPES["numbers"]), most=10)


def test_blocks_have_one_length() -> None:
    outputs = torch.randn(3, 2 * BLOCK + 5, 2)
    found = list(blocks(outputs))
    assert [each.shape for each in found] == [(3, BLOCK, 2)] * 3
    assert torch.equal(torch.cat(found, -2)[:, : len(outputs[0])], outputs)
    assert not found[-1][:, 5:].any()
