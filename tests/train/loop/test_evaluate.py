import pytest
import torch
from torch import nn

from rayml.errors import ConfigError
from rayml.models.nets.mlp import MLP
from rayml.tasks.task import build_task
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate, evaluate_ensemble, predict_outputs


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
    with pytest.raises(ConfigError, match=r"shape \(200, 1\): \(200,\)"):
        evaluate(Squeezed(), build_task(target), ArrayBatches(validation, 200))


def test_an_ensemble_is_measured_by_its_mean_prediction(shape, target, validation):
    torch.manual_seed(0)
    models, task = [MLP(shape, 1) for _ in range(3)], build_task(target)
    batches = ArrayBatches(validation, 37)
    measured = evaluate_ensemble(models, task, batches)
    outputs = [predict_outputs(model, task, batches)[0] for model in models]
    mean = torch.stack([task.predict(each) for each in outputs]).mean(0)
    truth = torch.from_numpy(validation.target)
    # Two rows whose order the rounding decides change the AUROC by the share of a pair.
    for name, metric in task.metrics.items():
        assert measured[name] == pytest.approx(float(metric(mean, truth)), rel=1e-5, abs=2e-4)
    alone = evaluate_ensemble(models[:1], task, batches)
    assert alone == pytest.approx(evaluate(models[0], task, batches), rel=1e-5, abs=2e-4)
    # Cross entropy is convex: the mean loses at most what its members lose on average.
    losses = [evaluate(model, task, batches)["loss"] for model in models]
    assert measured["loss"] <= sum(losses) / 3
