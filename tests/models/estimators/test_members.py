"""Members of any family are measured alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rayml.errors import ConfigError, ExplainError
from rayml.models.estimators.members import (
    Committee,
    EstimatorMember,
    ModuleMember,
    locked,
)
from rayml.models.nets.mlp import MLP
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.evaluate import evaluate, predict_outputs
from rayml.types import Features
from tests.toy_estimators import Centroids
from tests.train.conftest import BINARY, SHAPE, make_examples

TASK = build_task(BINARY)
TRAIN, ROWS = make_examples(300, seed=1), make_examples(200, seed=2)


def fitted() -> Centroids:
    estimator = Centroids(SHAPE, 1)
    list(estimator.fit(TRAIN, ROWS, task=TASK, settings=TrainSettings()))
    return estimator


def test_a_module_gives_the_bits_that_its_evaluation_gives() -> None:
    model = MLP(SHAPE, 1)
    outputs, _ = predict_outputs(model, TASK, ArrayBatches(ROWS, 37))
    member = ModuleMember(model.train(), 1, 37)
    assert torch.equal(member.outputs(ROWS.features), outputs)
    assert Committee([member]).measure(TASK, ROWS) == evaluate(model, TASK, ArrayBatches(ROWS, 37))


def test_several_are_measured_by_their_mean_prediction() -> None:
    torch.manual_seed(0)
    modules = [ModuleMember(MLP(SHAPE, 1), 1, 64) for _ in range(2)]
    members = [*modules, EstimatorMember(fitted(), 1)]
    measured = Committee(members).measure(TASK, ROWS)
    each = [TASK.predict(member.outputs(ROWS.features)) for member in members]
    truth = torch.from_numpy(ROWS.target)
    for name, metric in TASK.metrics.items():
        mean = float(metric(torch.stack(each).mean(0), truth))
        # Two rows whose order the rounding decides change the AUROC by the share of a pair.
        assert measured[name] == pytest.approx(mean, rel=1e-5, abs=2e-4)
    # Cross entropy is convex: the mean loses at most what its members lose on average.
    losses = [Committee([member]).measure(TASK, ROWS)["loss"] for member in members]
    assert measured["loss"] <= sum(losses) / 3
    alone = Committee(members[:1]).pooled(TASK, ROWS.features)
    assert torch.equal(alone, members[0].outputs(ROWS.features))


def test_a_member_counts_as_often_as_its_votes() -> None:
    torch.manual_seed(0)
    one, other = (ModuleMember(MLP(SHAPE, 1), 1, 64) for _ in range(2))
    by_votes = Committee([one, other], (1, 2)).pooled(TASK, ROWS.features)
    repeated = Committee([one, other, other]).pooled(TASK, ROWS.features)
    assert torch.equal(by_votes, repeated)


class Counted(ModuleMember):
    calls = 0

    def outputs(self, features: Features) -> torch.Tensor:
        self.calls += 1
        return super().outputs(features)


def test_the_same_rows_are_predicted_once_where_it_remembers() -> None:
    member = Counted(MLP(SHAPE, 1), 1, 64)
    models = Committee([member], memory={})
    wanted = Committee([member]).pooled(TASK, ROWS.features)
    again = make_examples(200, seed=2).features  # equal values, other arrays
    cooler = replace(models, temperature=2.0)
    assert torch.equal(models.pooled(TASK, ROWS.features), wanted)
    assert torch.equal(cooler.pooled(TASK, again), wanted / 2)
    assert member.calls == 2
    again.numeric[0, 0] += 1
    assert not torch.equal(models.pooled(TASK, again), wanted)
    assert member.calls == 3


class Odd(Centroids):
    found: object = None

    def predict(self, features):
        return self.found


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([[1.0]], "Odd.predict returns list"),
        (np.ones((200, 1), dtype=np.int64), "returns int64"),
        (np.ones(200), r"returns shape \(200,\); this task needs \(200, 1\)"),
    ],
)
def test_odd_outputs_of_an_estimator_are_refused(found, words) -> None:
    estimator = Odd(SHAPE, 1)
    estimator.found = found
    with pytest.raises(ConfigError, match=words):
        EstimatorMember(estimator, 1).outputs(ROWS.features)


def test_features_that_are_lent_cannot_be_written_to() -> None:
    given = locked(ROWS.features)
    with pytest.raises(ValueError, match="read-only"):
        given.numeric[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        given.categorical[0] = 0
    ROWS.features.numeric[0] += 0  # the owner may still


def test_an_estimator_without_explanations_says_so() -> None:
    codes = np.zeros(len(ROWS), dtype=np.int64)
    with pytest.raises(ExplainError, match="of Centroids cannot be explained"):
        fitted().explain(ROWS.features, ROWS.features, codes, TASK)
