"""The contract of estimators: sound ones keep it, and one that breaks a part fails that check."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import random
import threading
import time

import numpy as np
import pytest

from rayml.models.estimators.estimator import Estimator, Round
from rayml.testing.contract import check_contract
from rayml.testing.estimators import EstimatorTests
from rayml.types import FeatureShape
from tests.toy_estimators import Centroids, Slopes


class TestSlopes(EstimatorTests):
    tolerance = 1e-4

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return Slopes(shape, outputs) if outputs == 1 else Mute(shape, outputs)

    # Its explanations are those of a value.
    tasks = ("regression",)


class TestCentroids(EstimatorTests):
    tasks = ("binary", "multiclass")

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return Centroids(shape, outputs)


class Mute(Slopes):
    explain = Estimator.explain


class Endless(Mute):
    def fit(self, train, validation, *, task, settings):
        yield from itertools.islice(super().fit(train, validation, task=task, settings=settings), 2)


class Flat(Mute):
    def predict(self, features):
        return super().predict(features)[:, 0]


class OldOutputs(Mute):
    def fit(self, train, validation, *, task, settings):
        for each in super().fit(train, validation, task=task, settings=settings):
            old = super().predict(validation.features) + 1
            yield dataclasses.replace(each, outputs=old)


class Writes(Mute):
    def predict(self, features):
        features.numeric[:] = np.abs(features.numeric)
        return super().predict(features)


class Unseeded(Mute):
    def __init__(self, shape, outputs):
        super().__init__(shape, outputs)
        self.weights = np.random.default_rng().normal(0, 0.1, self.weights.shape)


class Forgets(Mute):
    bias = 0.0

    def fit(self, train, validation, *, task, settings):
        for each in super().fit(train, validation, task=task, settings=settings):
            self.bias = 0.1
            yield each

    def predict(self, features):
        return super().predict(features) + self.bias


class Rounds(Mute):
    """Its files have fewer digits than it computes with."""

    def save(self):
        return {"slopes.json": json.dumps(self.weights.round(3).tolist()).encode()}


class Pickles(Mute):
    def save(self):
        return {"slopes.bin": pickle.dumps(self.weights, protocol=0)}

    def load(self, files):
        self.weights = pickle.loads(files["slopes.bin"])


class Keeps(Mute):
    def keep(self):
        return self.save


class Restarts(Mute):
    """Says that it resumes, and begins anew."""

    def fit(self, train, validation, *, task, settings):
        self.weights = np.zeros_like(self.weights)
        yield from super().fit(train, validation, task=task, settings=settings)


class Neighbours(Mute):
    def predict(self, features):
        found = super().predict(features)
        return found - found.mean() * 0.5


class NotToTheBit(Mute):
    batch_invariant = True

    def predict(self, features):
        found = super().predict(features)
        return found * (1 + 1e-6 * len(features))


class Scratch(Mute):
    """Keeps what it computes with where other threads write too."""

    def predict(self, features):
        self.place = random.random() + threading.get_ident()
        mine = self.place
        time.sleep(0.001)
        return super().predict(features) + (self.place != mine)


class Constant(Mute):
    def predict(self, features):
        return super().predict(features) * 0


class Half(Slopes):
    def explain(self, rows, baseline, codes, task):
        return super().explain(rows, baseline, codes, task) / 2


class Uncounted(Mute):
    @property
    def parameters(self):
        return 0


BROKEN = {
    "test_rounds_are_reported": (Endless, "fit ends after 2 rounds; yield the last one"),
    "test_outputs_are_real_numbers_of_the_right_shape": (
        OldOutputs,
        "a round has other outputs than predict",
    ),
    "test_inputs_are_left_as_they_are": (Writes, "writes to its inputs"),
    "test_the_result_follows_from_the_seed": (Unseeded, "its files differ"),
    "test_a_saved_estimator_predicts_the_same_bits": (Forgets, "predicts other bits"),
    "test_files_hold_no_pickle": (Pickles, r"slopes\.bin is a pickle"),
    "test_what_is_kept_is_of_its_round": (Keeps, "files of a later round"),
    "test_it_resumes_if_it_says_so": (Restarts, "after load it goes on otherwise"),
    "test_a_rows_prediction_is_its_own": (Neighbours, "beside other rows"),
    "test_threads_predict_the_same_bits": (Scratch, "in several threads"),
    "test_it_learns": (Constant, "r2 is .* after training"),
    "test_explanations_add_up": (Half, "do not add up"),
    "test_parameters_are_counted": (Uncounted, "parameters is 0"),
}


def contract_of(kind: type[Estimator]) -> EstimatorTests:
    class Tests(EstimatorTests):
        tasks = ("regression",)

        def make(self, shape: FeatureShape, outputs: int) -> Estimator:
            return kind(shape, outputs)

    return Tests()


@pytest.mark.parametrize("check", BROKEN)
def test_what_breaks_the_contract_fails_its_check(check: str) -> None:
    kind, words = BROKEN[check]
    with pytest.raises(AssertionError, match=words):
        getattr(contract_of(kind), check)()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == {name for name in dir(EstimatorTests) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Flat, "test_outputs_are_real_numbers_of_the_right_shape", r"returns shape \(120,\)"),
        (Rounds, "test_a_saved_estimator_predicts_the_same_bits", "predicts other bits"),
        (NotToTheBit, "test_a_rows_prediction_is_its_own", "not batch_invariant to the bit|beside"),
    ],
)
def test_further_breaches_are_found(kind: type[Estimator], check: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        getattr(contract_of(kind), check)()


def test_where_no_test_is_collected_the_contract_is_checked_all_the_same() -> None:
    check_contract(contract_of(Mute))
    with pytest.raises(AssertionError, match="parameters is 0"):
        check_contract(contract_of(Uncounted))


def test_a_round_says_that_it_is_the_last() -> None:
    assert Round(0.5).last is False
