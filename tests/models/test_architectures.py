"""What holds for every shipped model, alone and as stacked lanes."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state

from rayml.models.layers.dropout import Dropout, set_dropout_keys
from rayml.models.nets.mlp import MLP
from rayml.models.nets.resnet import TabularResNet
from rayml.tasks.table import build_task, outputs_of
from rayml.types import FeatureShape, TargetInfo

SHAPE = FeatureShape(numeric=3, cardinalities=(4, 6))
ROWS = 16
TASKS = {
    "binary": TargetInfo("y", "binary", ("no", "yes")),
    "multiclass": TargetInfo("y", "multiclass", ("a", "b", "c")),
    "regression": TargetInfo("y", "regression", mean=2.0, scale=3.0),
}


def mlp(outputs: int, dropout: float = 0.3) -> MLP:
    return MLP(SHAPE, outputs, width=8, depth=2, dropout=dropout)


def resnet(outputs: int, dropout: float = 0.3) -> TabularResNet:
    return TabularResNet(
        SHAPE, outputs, width=8, depth=2, dropout=dropout, residual_dropout=dropout
    )


def features() -> tuple[Tensor, Tensor]:
    codes = [torch.randint(0, size, (ROWS, 1)) for size in SHAPE.cardinalities]
    return torch.randn(ROWS, SHAPE.numeric), torch.cat(codes, dim=1)


def target_of(info: TargetInfo) -> Tensor:
    if info.task == "regression":
        return torch.randn(ROWS)
    return torch.randint(0, len(info.classes), (ROWS,))


@pytest.mark.parametrize("make", [mlp, resnet])
def test_every_parameter_gets_a_gradient(make):
    model = make(3)
    model(*features()).square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in model.parameters())


@pytest.mark.parametrize("make", [mlp, resnet])
def test_a_row_is_predicted_alone_as_in_a_batch(make):
    model = make(2).eval()
    numeric, categorical = features()
    alone = torch.cat([model(numeric[i : i + 1], categorical[i : i + 1]) for i in range(ROWS)])
    torch.testing.assert_close(model(numeric, categorical), alone)


@pytest.mark.parametrize("make", [mlp, resnet])
@pytest.mark.parametrize("name", TASKS)
def test_stacked_lanes_have_the_gradients_of_each_model_alone(make, name):
    """Cohorts depend on it: parameters, dropout and label smoothing differ from lane to lane."""
    torch.manual_seed(0)
    info = TASKS[name]
    task = build_task(info)
    models = [make(outputs_of(info), dropout) for dropout in (0.1, 0.3, 0.6)]
    smoothing = torch.tensor([0.0, 0.1, 0.2])
    (numeric, categorical), target = features(), target_of(info)
    for seed, model in enumerate(models):
        set_dropout_keys(dropouts(model), seed, 11)

    def loss(own: dict[str, Tensor], buffers: dict[str, Tensor], smoothing: Tensor) -> Tensor:
        outputs = functional_call(models[0], (own, buffers), (numeric, categorical))
        return task.loss(outputs, target, smoothing)

    parameters, buffers = stack_module_state(models)
    stacked = torch.vmap(grad(loss))(parameters, buffers, smoothing)
    for lane, model in enumerate(models):
        task.loss(model(numeric, categorical), target, float(smoothing[lane])).backward()
        for key, own in model.named_parameters():
            torch.testing.assert_close(stacked[key][lane], own.grad)


def dropouts(model: nn.Module) -> list[Dropout]:
    return [each for each in model.modules() if isinstance(each, Dropout)]
