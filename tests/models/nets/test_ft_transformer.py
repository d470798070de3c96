"""The FT-Transformer: what its tokens and its attention compute, alone, stacked and explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation uses
from torch import Tensor, nn

from rayml.errors import ConfigError
from rayml.models.explain.entrances import Entrances
from rayml.models.layers.attention import Attention
from rayml.models.nets.ft_transformer import FTTransformer
from rayml.testing.rows import task_of
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import Batch
from rayml.types import FeatureShape

KNOTS = tuple(tuple(np.linspace(-2, 2, 129).tolist()) for _ in range(3))
SHAPE = FeatureShape(3, (4, 6), KNOTS)
ROWS = 7


def small(shape: FeatureShape = SHAPE, **own: Any) -> FTTransformer:
    options: dict[str, Any] = {"width": 8, "heads": 2, "depth": 2, **own}
    return FTTransformer(shape, 1, **options)


def features(shape: FeatureShape = SHAPE) -> tuple[Tensor, Tensor]:
    codes = [torch.randint(0, size, (ROWS,)) for size in shape.cardinalities]
    none = torch.zeros(ROWS, 0, dtype=torch.int64)
    return torch.randn(ROWS, shape.numeric), torch.stack(codes, 1) if codes else none


@pytest.mark.parametrize("dropped", [False, True])
def test_attention_is_that_of_pytorch(dropped: bool) -> None:
    torch.manual_seed(0)
    own = Attention(5, 8, 2, 1e-9 if dropped else 0.0).train()
    assert own.dropout.active is dropped
    peer = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(own.read.weight)
        peer.in_proj_bias.copy_(own.read.bias)
        peer.out_proj.weight.copy_(own.write.weight)
        peer.out_proj.bias.copy_(own.write.bias)
    x = torch.randn(ROWS, 5, 8)
    wanted, _ = peer(x, x, x)
    found = own(x.view(ROWS * 5, 8)).view(ROWS, 5, 8)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_tokens_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    tokens = small().tokens
    numeric, codes = features()
    found = tokens(numeric, codes).view(ROWS, 6, 8)
    assert tokens.numbers is not None
    torch.testing.assert_close(found[:, 0], tokens.first.expand(ROWS, 8))
    for column in range(3):
        vector, shift = tokens.numbers.weight[column], tokens.numbers.bias[column]
        torch.testing.assert_close(found[:, 1 + column], numeric[:, column, None] * vector + shift)
    table = tokens.embedding.table
    torch.testing.assert_close(found[:, 4], F.embedding(codes[:, 0], table))
    torch.testing.assert_close(found[:, 5], F.embedding(codes[:, 1] + 4, table))


@pytest.mark.parametrize("numeric", ["none", "plr", "piecewise"])
@pytest.mark.parametrize("shape", [SHAPE, FeatureShape(0, (5,)), FeatureShape(3, (), KNOTS)])
def test_lanes_have_the_gradients_of_each_alone(shape: FeatureShape, numeric: Any) -> None:
    torch.manual_seed(0)
    task = task_of("binary")
    models = [small(shape, numeric=numeric, dropout=0.0, attention_dropout=0.0) for _ in range(2)]
    batch = Batch(*features(shape), torch.randint(0, 2, (ROWS,)))
    stack = StackedModel([*models])
    stack.train()
    flat = torch.zeros_like(stack.values)
    losses = LaneGradients(stack, task, bfloat16=False)(batch, torch.zeros(2, 1), flat)
    for lane in range(2):
        again = small(shape, numeric=numeric, dropout=0.0, attention_dropout=0.0).train()
        again.load_state_dict(stack.state(lane, stack.values, stack.buffers))
        loss = task.loss(again(batch.numeric, batch.categorical), batch.target)
        loss.backward()
        torch.testing.assert_close(losses[lane], loss.detach())
        wanted = [
            torch.zeros(0) if e.grad is None else e.grad.flatten() for e in again.parameters()
        ]
        torch.testing.assert_close(flat[lane], torch.cat(wanted), rtol=1e-3, atol=1e-6)


def test_rows_do_not_read_one_another_and_columns_do() -> None:
    torch.manual_seed(0)
    model = small().eval()
    numeric, codes = features()
    base = model(numeric, codes)
    changed = numeric.clone()
    changed[0, 1] += 1
    other = model(changed, codes)
    assert other[0] != base[0]
    torch.testing.assert_close(other[1:], base[1:])


def test_its_features_can_be_attributed() -> None:
    model = small().eval().requires_grad_(False)
    entrances = Entrances(model, SHAPE, torch.device("cpu"))
    assert set(entrances.owners[1].tolist()) == {0, 1, 2, 3, 4}


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no multiple of model\.heads"):
        small(width=9)
