import pytest
import torch
from torch import nn

from rayml.errors import ConfigError
from rayml.models.nets.mlp import MLP
from rayml.tasks.table import build_task
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate, predict_outputs


def test_batches_do_not_change_the_result(shape, target, validation):
    model, task = MLP(shape, 1, dropout=0.5), build_task(target)
    whole = evaluate(model, task, ArrayBatches(validation, 200))
    assert evaluate(model, task, ArrayBatches(validation, 37)) == pytest.approx(whole, rel=1e-5)


def test_outputs_come_in_the_stored_order(shape, target, validation):
    model, task = MLP(shape, 1), build_task(target)
    outputs, targets = predict_outputs(model, task, ArrayBatches(validation, 37))
    assert outputs.shape == (200, 1)
    assert torch.equal(targets, torch.from_numpy(validation.target))


class Squeezed(nn.Module):
    def forward(self, numeric, categorical):
        return numeric.sum(-1)


def test_outputs_of_a_wrong_shape_are_refused(target, validation):
    with pytest.raises(ConfigError, match=r"shape \(200,\); this task needs \(200, 1\)"):
        evaluate(Squeezed(), build_task(target), ArrayBatches(validation, 200))
