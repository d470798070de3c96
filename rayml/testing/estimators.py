"""What rayml expects of an estimator, as tests for its author.

A class of tests that pytest collects:

    class TestMine(EstimatorTests):
        def make(self, shape, outputs):
            return Mine(shape, outputs, depth=3)
"""

from __future__ import annotations

import itertools
import pickletools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch

from rayml.models.estimators.estimator import Estimator, Files, Round
from rayml.models.estimators.files import require_plain
from rayml.models.estimators.members import checked_outputs
from rayml.settings.train import TrainSettings
from rayml.testing.rows import learnable, task_of
from rayml.train.loop.randomness import seeded
from rayml.types import Features, FeatureShape, TaskName

_CPU = torch.device("cpu")
_ROWS = 120


class EstimatorTests:
    """The contract of an estimator; subclass it and give `make`.

    Attributes:
        shapes: of features that the estimator has to take.
        tasks: kinds of target that it has to predict.
        rounds: that are trained at most.
        tolerance: by which shares of an explanation may miss the difference of the scores.
    """

    shapes: ClassVar[tuple[FeatureShape, ...]] = (
        FeatureShape(4, (3, 5)),
        FeatureShape(3),
        FeatureShape(5, (3,), missing=(3, 4, 4, -1, -1)),
    )
    tasks: ClassVar[tuple[TaskName, ...]] = ("binary", "multiclass", "regression")
    rounds: ClassVar[int] = 6
    tolerance: ClassVar[float] = 1e-3

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        """The estimator under test."""
        raise NotImplementedError

    def test_rounds_are_reported(self) -> None:
        """Each yields a `Round` with a finite loss; the last one says so, or there are more."""
        for case in self._cases():
            done = [found for found, _ in zip(case.fit(case.made()), range(self.rounds))]  # noqa: B905
            assert done, "fit yields no round"
            for found in done:
                assert isinstance(found, Round), f"fit yields a {type(found).__name__}"
                assert np.isfinite(found.loss), f"the loss of a round is {found.loss}"
            assert done[-1].last or len(done) == self.rounds, (
                f"fit ends after {len(done)} rounds; yield the last one with last=True"
            )

    def test_outputs_are_real_numbers_of_the_right_shape(self) -> None:
        """[rows, outputs], for one row as well, and those of a round are those of `predict`."""
        for case in self._cases():
            estimator = case.made()
            for done in itertools.islice(case.fit(estimator), self.rounds):
                if done.outputs is not None:
                    given = checked_outputs(estimator, done.outputs, (_ROWS, case.outputs))
                    own = torch.from_numpy(case.predict(estimator))
                    assert torch.allclose(given, own, rtol=1e-4, atol=1e-5), (
                        "a round has other outputs than predict gives after it"
                    )
                if done.last:
                    break
            for rows in (_ROWS, 1):
                found = estimator.predict(_some(case.validation.features, 0, rows))
                checked = checked_outputs(estimator, found, (rows, case.outputs))
                assert checked.isfinite().all(), "predict returns numbers that are not finite"

    def test_inputs_are_left_as_they_are(self) -> None:
        """Others share their memory; rayml lends them read-only."""
        for case in self._cases():
            before = [part.copy() for part in case.arrays()]
            case.predict(self._trained(case))
            for one, other in zip(case.arrays(), before, strict=True):
                assert np.array_equal(one, other), "fit or predict writes to its inputs"

    def test_the_result_follows_from_the_seed(self) -> None:
        """The generators of Python, NumPy and PyTorch are seeded; others are not."""
        for case in self._cases():
            one, other = self._trained(case), self._trained(case)
            assert dict(one.save()) == dict(other.save()), (
                "trained twice with one seed, its files differ"
            )

    def test_a_saved_estimator_predicts_the_same_bits(self) -> None:
        """The files hold all that a prediction depends on."""
        for case in self._cases():
            estimator = self._trained(case)
            files = dict(estimator.save())
            again = case.loaded(files)
            assert np.array_equal(case.predict(estimator), case.predict(again)), (
                "what is loaded predicts other bits; save the rest of the state"
            )
            assert dict(again.save()) == files, "what is loaded saves other files"

    def test_files_hold_no_pickle(self) -> None:
        """Few plain files, as a bundle takes them."""
        for case in self._cases():
            files = self._trained(case).save()
            try:
                require_plain("It", files)
            except Exception as error:
                raise AssertionError(str(error)) from error
            for name, content in files.items():
                assert not _is_pickle(content), f"{name} is a pickle"

    def test_what_is_kept_is_of_its_round(self) -> None:
        """`keep` after a round gives the files of that round, also after further ones."""
        for case in self._cases():
            estimator = case.made()
            rounds = case.fit(estimator)
            first = next(rounds)
            kept, expected = estimator.keep(), case.predict(estimator)
            if first.last:
                continue
            for done in itertools.islice(rounds, self.rounds):
                if done.last:
                    break
            assert np.array_equal(case.predict(case.loaded(kept())), expected), (
                "keep gives the files of a later round"
            )

    def test_it_resumes_if_it_says_so(self) -> None:
        """Loaded after some rounds it ends like one that was never interrupted."""
        for case in self._cases():
            if not self._trained(case).resumes:
                return
            whole = self._trained(case, 4)
            with seeded(0, _CPU):
                half = case.made()
                done = list(itertools.islice(case.fit(half), 2))
                if done[-1].last:
                    continue
                rest = case.loaded(dict(half.save()))
                list(itertools.islice(case.fit(rest), 2))
            assert np.array_equal(case.predict(rest), case.predict(whole)), (
                "after load it goes on otherwise; leave `resumes` False"
            )

    def test_a_rows_prediction_is_its_own(self) -> None:
        """The neighbours of a batch change nothing; with `batch_invariant` not a bit."""
        for case in self._cases():
            estimator = self._trained(case)
            together = case.predict(estimator)
            rows = (_some(case.validation.features, i, i + 1) for i in range(_ROWS))
            single = np.concatenate([np.asarray(estimator.predict(each)) for each in rows])
            single = single.astype(np.float32)
            assert np.allclose(together, single, rtol=1e-4, atol=1e-5), (
                "a row is predicted otherwise beside other rows"
            )
            if estimator.batch_invariant:
                assert np.array_equal(together, single), "it is not batch_invariant to the bit"

    def test_threads_predict_the_same_bits(self) -> None:
        """An endpoint asks from several threads at once."""
        for case in self._cases():
            estimator = self._trained(case)
            alone = case.predict(estimator)
            with ThreadPoolExecutor(4) as threads:
                found = list(threads.map(lambda _: case.predict(estimator), range(16)))  # noqa: B023
            assert all(np.array_equal(alone, each) for each in found), (
                "in several threads at once it predicts otherwise"
            )

    def test_it_learns(self) -> None:
        """It is better than the same answer for every row."""
        for case in self._cases():
            estimator = self._trained(case)
            outputs = torch.from_numpy(np.array(case.predict(estimator), dtype=np.float32))
            truth = torch.from_numpy(case.validation.target)
            measured = case.task.evaluate(outputs, truth)
            constant = case.task.evaluate(torch.zeros_like(outputs), truth)
            name = "balanced_accuracy" if case.task.has_classes else "r2"
            assert measured[name] > constant[name], f"{name} is {measured[name]:.3g} after training"

    def test_explanations_add_up(self) -> None:
        """The shares of a row are the difference of its score and the baseline's."""
        for case in self._cases():
            estimator = self._trained(case)
            if type(estimator).explain is Estimator.explain:
                return
            rows, start = (_some(case.validation.features, at, at + 8) for at in (8, 0))
            start = _some(start, 0, 1)
            codes = np.zeros(8, dtype=np.int64)
            shares = estimator.explain(rows, start, codes, case.task)
            features = rows.numeric.shape[1] + rows.categorical.shape[1]
            assert shares.shape == (8, features), f"explain returns shape {shares.shape}"
            ends, starts = (case.score(estimator, each) for each in (rows, start))
            assert np.allclose(shares.sum(1), ends - starts, atol=self.tolerance), (
                "the shares of an explanation do not add up to the difference of the scores"
            )

    def test_parameters_are_counted(self) -> None:
        """The simpler of two equal winners is found by them."""
        for case in self._cases():
            count: object = self._trained(case).parameters
            assert isinstance(count, int), f"parameters is a {type(count).__name__}"
            assert count > 0, "parameters is 0 after training"

    def _cases(self) -> list[_Case]:
        return [_Case(self, shape, name) for shape in self.shapes for name in self.tasks]

    def _trained(self, case: _Case, rounds: int = 0) -> Estimator:
        with seeded(0, _CPU):
            estimator = case.made()
            for done in itertools.islice(case.fit(estimator), rounds or self.rounds):
                if done.last:
                    break
        return estimator


class _Case:
    """One shape of features and one task, with rows of both."""

    def __init__(self, tests: EstimatorTests, shape: FeatureShape, name: TaskName) -> None:
        self._tests, self._shape = tests, shape
        self.task = task_of(name)
        self.outputs = self.task.outputs
        self.train = learnable(name, shape, 2 * _ROWS, 1)
        self.validation = learnable(name, shape, _ROWS, 2)

    def made(self) -> Estimator:
        """An untrained one."""
        with seeded(0, _CPU):
            return self._tests.make(self._shape, self.outputs)

    def loaded(self, files: Files) -> Estimator:
        """One with the state of some files, made with another seed."""
        with seeded(1, _CPU):
            estimator = self._tests.make(self._shape, self.outputs)
        estimator.load(files)
        return estimator

    def fit(self, estimator: Estimator) -> Any:
        """The rounds of its training."""
        settings = TrainSettings(epochs=self._tests.rounds)
        return estimator.fit(self.train, self.validation, task=self.task, settings=settings)

    def predict(self, estimator: Estimator) -> npt.NDArray[np.float32]:
        """Outputs of the validation rows."""
        return np.asarray(estimator.predict(self.validation.features), dtype=np.float32)

    def arrays(self) -> list[npt.NDArray[Any]]:
        """All that an estimator is given."""
        return [
            part
            for each in (self.train, self.validation)
            for part in (each.features.numeric, each.features.categorical, each.target)
        ]

    def score(self, estimator: Estimator, rows: Features) -> npt.NDArray[np.float64]:
        """The probability of the first class, or the value."""
        outputs = torch.from_numpy(np.array(estimator.predict(rows), dtype=np.float64))
        found = self.task.predict(outputs).numpy()
        if not self.task.has_classes:
            return cast("npt.NDArray[np.float64]", found)
        return cast("npt.NDArray[np.float64]", found[:, 0] if found.ndim == 2 else 1 - found)


def _some(features: Features, start: int, end: int) -> Features:
    return Features(features.numeric[start:end], features.categorical[start:end])


def _is_pickle(content: bytes) -> bool:
    """Whether bytes are a pickle of any protocol, the old ones in text too."""
    try:
        return sum(1 for _ in pickletools.genops(content)) > 1
    except Exception:  # noqa: BLE001 - it is something else
        return False
