"""TabM: what its members compute, their loss, and the one answer that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rayml.errors import ConfigError
from rayml.models.ensemble import Ensemble, stack_weights
from rayml.models.explain.entrances import Entrances
from rayml.models.layers.dropout import Dropout
from rayml.models.layers.folded import fold
from rayml.models.modules.pooling import learn_pool, members_of
from rayml.models.nets.mlp import MLP
from rayml.models.nets.tabm import TabM
from rayml.tasks.table import build_task, outputs_of
from rayml.testing.rows import TARGETS, task_of
from rayml.train.lanes.gradients import LaneGradients
from rayml.train.lanes.stack import StackedModel
from rayml.train.loop.batches import Batch
from rayml.types import FeatureShape

KNOTS = tuple(tuple(np.linspace(-2, 2, 129).tolist()) for _ in range(3))
SHAPE = FeatureShape(3, (4, 6), KNOTS)
FORMS = ("mini", "full", "packed")
ROWS = 9


def tabm(form: str, outputs: int = 1, task: str = "regression", **own: Any) -> TabM:
    options: dict[str, Any] = {"k": 3, "width": 8, "depth": 2, "dropout": 0.0, **own}
    model = TabM(own.pop("shape", SHAPE), outputs, form=form, **options)  # type: ignore[arg-type]
    learn_pool(model, task_of(task))
    return model


def drawn(form: str, *arguments: Any, **own: Any) -> TabM:
    """With weights that are no 1 and no 0."""
    model = tabm(form, *arguments, **own)
    for each in model.parameters():
        torch.nn.init.normal_(each, std=0.5)
    return model


def features(rows: int = ROWS) -> tuple[Tensor, Tensor]:
    codes = [torch.randint(0, size, (rows,)) for size in SHAPE.cardinalities]
    return torch.randn(rows, SHAPE.numeric), torch.stack(codes, 1)


def by_hand(model: TabM, member: int, x: Tensor) -> Tensor:
    """A member's outputs, from the formulas of the paper."""
    layers = [each for each in model.layers if not isinstance(each, Dropout)]
    if model.scale is not None:
        x = x * model.scale.weight[member]
    for layer in layers:
        if model.scale is not None:
            x = x @ layer.weight.T + layer.bias
        elif layer.weight.dim() == 2:
            scaled = (x * layer.scale.weight[member]) @ layer.weight.T
            x = scaled * layer.gain[member] + layer.bias[member]
        else:
            x = x @ layer.weight[member].T + layer.bias[member]
        x = x.clamp_min(0)
    return x @ model.head.weight[member].T + model.head.bias[member]


@pytest.mark.parametrize("form", FORMS)
def test_each_member_is_the_mlp_of_the_paper(form: str) -> None:
    torch.manual_seed(0)
    model = drawn(form, 2, "multiclass").train()
    numeric, codes = features()
    outputs = model(numeric, codes)
    assert outputs.shape == (3, ROWS, 2)
    x = model.embedding(numeric, codes)
    for member in range(3):
        torch.testing.assert_close(outputs[member], by_hand(model, member, x))


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("form", FORMS)
def test_the_answer_is_the_mean_of_the_members_predictions(form: str, name: str) -> None:
    torch.manual_seed(0)
    task = task_of(name)
    model = drawn(form, outputs_of(task.info), name)
    inputs = features()
    each = task.predict(model.train()(*inputs))
    one = task.predict(model.eval()(*inputs))
    torch.testing.assert_close(one, each.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_the_loss_is_the_mean_of_the_members_losses(name: str) -> None:
    torch.manual_seed(0)
    task = task_of(name)
    outputs = torch.randn(2, 3, ROWS, outputs_of(task.info))
    shared = torch.rand(ROWS) if name == "regression" else torch.randint(0, 2, (ROWS,))
    targets = torch.stack([shared, shared.flip(0)])
    smoothing = torch.tensor([[0.0], [0.2]])
    for target, own in ((shared, [shared, shared]), (targets, list(targets))):
        found = task.members_loss(outputs, target, smoothing)
        for lane in range(2):
            losses = [
                task.loss(outputs[lane, member], own[lane], float(smoothing[lane]))
                for member in range(3)
            ]
            torch.testing.assert_close(found[lane], torch.stack(losses).mean())
            alone = task.members_loss(outputs[lane], own[lane], float(smoothing[lane]))
            torch.testing.assert_close(found[lane], alone)


@pytest.mark.parametrize("numeric", ["none", "plr_lite", "piecewise"])
@pytest.mark.parametrize("form", FORMS)
def test_lanes_have_the_gradients_of_each_alone(form: str, numeric: Any) -> None:
    torch.manual_seed(0)
    task = task_of("binary")
    models = [drawn(form, 1, "binary", numeric=numeric, numeric_width=4) for _ in range(2)]
    batch = Batch(*features(), torch.randint(0, 2, (ROWS,)))
    stack = StackedModel(models)
    stack.train()
    gradients = LaneGradients(stack, task, bfloat16=False)
    flat = torch.zeros_like(stack.values)
    smoothing = torch.tensor([[0.0], [0.1]])
    losses = gradients(batch, smoothing, flat)
    for lane, model in enumerate(models):
        again = drawn(form, 1, "binary", numeric=numeric, numeric_width=4).train()
        again.load_state_dict(stack.state(lane, stack.values, stack.buffers))
        outputs = again(batch.numeric, batch.categorical)
        loss = task.members_loss(outputs, batch.target, float(smoothing[lane]))
        loss.backward()
        torch.testing.assert_close(losses[lane], loss.detach())
        wanted = torch.cat([each.grad.flatten() for each in again.parameters()])
        torch.testing.assert_close(flat[lane], wanted, rtol=1e-4, atol=1e-6)
        assert model.members == 3


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("numeric", ["none", "plr", "piecewise"])
@pytest.mark.parametrize("form", FORMS)
def test_the_folded_form_gives_the_same(form: str, numeric: Any, rows: int) -> None:
    torch.manual_seed(0)
    model = drawn(form, 2, "multiclass", numeric=numeric).eval()
    inputs = features(rows)
    before = [each.clone() for each in inputs]
    form_of = fold(model)
    assert form_of is not None
    with torch.inference_mode():
        torch.testing.assert_close(form_of(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)
    assert all(map(torch.equal, inputs, before))


def test_a_subclass_has_no_folded_form() -> None:
    class Mine(TabM):
        pass

    assert fold(Mine(SHAPE, 1)) is None


def test_members_differ_at_the_start() -> None:
    signs = tabm("mini", numeric="none").scale
    assert signs is not None
    assert set(signs.weight.unique().tolist()) == {-1.0, 1.0}
    model = tabm("mini", numeric="piecewise", numeric_width=4)
    assert model.scale is not None
    factors = model.scale.weight[:, :12].view(3, 3, 4)
    # The parts of a feature begin with one factor, and each feature with one of its own.
    assert (factors == factors[..., :1]).all()
    assert len(factors.unique()) == 9


def test_each_member_drops_units_of_its_own() -> None:
    torch.manual_seed(0)
    model = tabm("mini", dropout=0.5, depth=1).train()
    model.scale.weight.data.fill_(1)
    model.head.weight.data.fill_(1)
    model.head.bias.data.fill_(0)
    outputs = model(*features())
    assert not torch.equal(outputs[0], outputs[1])


def test_an_ensemble_of_many_runs_as_one() -> None:
    torch.manual_seed(0)
    models = [drawn("mini").eval() for _ in range(12)]
    together = Ensemble(
        lambda: tabm("mini"), stack_weights([each.state_dict() for each in models]), features()
    )
    assert together.stacked
    inputs = features()
    with torch.inference_mode():
        wanted = torch.stack([each(*inputs) for each in models])
        torch.testing.assert_close(together(*inputs), wanted, rtol=1e-4, atol=1e-5)


def test_its_features_can_be_attributed() -> None:
    model = drawn("full", numeric="piecewise").eval().requires_grad_(False)
    entrances = Entrances(model, SHAPE, torch.device("cpu"))
    assert len(entrances.owners) == 2


def test_without_a_task_there_is_no_answer() -> None:
    model = TabM(SHAPE, 1).eval()
    with pytest.raises(ConfigError, match="does not know how its members answer as one"):
        model(*features())


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"form": "big"}, "no form of TabM"),
        ({"k": 0}, "no members"),
        ({"k": "auto"}, "still auto"),
    ],
)
def test_bad_values_are_refused(own: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        TabM(SHAPE, 1, **own)


def test_other_models_have_no_members() -> None:
    model = MLP(SHAPE, 1)
    learn_pool(model, build_task(TARGETS["binary"]))
    assert members_of(model) == ()
    assert not hasattr(model, "pool")
