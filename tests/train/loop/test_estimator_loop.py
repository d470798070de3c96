"""An estimator trains under the loop of a trial: rounds, the best one, checkpoints."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rayml.errors import CheckpointError, ConfigError, DivergedError, TrainError
from rayml.models.estimators.estimator import Round
from rayml.models.estimators.files import as_files
from rayml.models.estimators.members import Committee, EstimatorMember
from rayml.settings.train import TrainSettings
from rayml.tasks.table import build_task
from rayml.train.build import apply, build_estimator, build_loop, build_member, is_estimator
from rayml.train.loop.estimator_loop import EstimatorLoop
from rayml.train.loop.randomness import seeded
from rayml.types import FeatureShape, TargetInfo
from tests.toy_estimators import Centroids, Slopes


@pytest.fixture
def number(train, validation):
    """The same rows with a number to predict."""

    def of(examples):
        value = examples.features.numeric[:, 0] - examples.features.categorical[:, 1]
        return dataclasses.replace(examples, target=((value - 2) / 2).astype(np.float32))

    return of(train), of(validation), TargetInfo("y", "regression", (), -2.0, 2.0)


@pytest.fixture
def make(shape, number):
    train, validation, target = number

    def loop(estimator=None, **settings: Any) -> EstimatorLoop:
        chosen = made(Slopes, shape) if estimator is None else estimator
        task = build_task(target)
        return EstimatorLoop(chosen, task, train, validation, TrainSettings(**settings))

    return loop


def made(kind: type[Slopes], shape: FeatureShape) -> Slopes:
    """One that starts from the same weights as all others."""
    with seeded(0, torch.device("cpu")):
        return kind(shape, 1)


def run(loop: EstimatorLoop) -> list[Any]:
    results = []
    while not loop.finished:
        results.append(loop.run_epoch())
    return results


def test_rounds_are_epochs_and_the_best_one_is_kept(make, shape, number) -> None:
    loop = make(epochs=30)
    results = run(loop)
    assert [each.epoch for each in results] == list(range(1, 31))
    assert results[-1].loss < results[0].loss
    assert loop.best is not None
    values = [each.metrics["rmse"] for each in results]
    assert loop.best.value == min(values)
    assert loop.parameters == loop.all_parameters == 12
    again = Slopes(shape, 1)
    again.load(as_files(loop.best_weights()))
    measured = Committee([EstimatorMember(again, 1)]).measure(loop.task, number[1])
    assert measured["rmse"] == min(values)
    with pytest.raises(TrainError, match="has finished after 30 rounds"):
        loop.run_epoch()


class Worse(Slopes):
    """Its second round is the best one."""

    def fit(self, train, validation, *, task, settings):
        for round_, rate in enumerate((0.1, 0.5, -0.5, -0.5, -0.5)):
            self.rate = rate
            yield next(super().fit(train, validation, task=task, settings=settings))
            assert round_ < 4, "asked for a round after its patience"


def test_patience_ends_it_and_the_best_round_is_the_one_before(make, shape) -> None:
    loop = make(Worse(shape, 1), patience=2)
    assert len(run(loop)) == 4
    assert loop.best is not None
    assert loop.best.epoch == 2


def test_the_last_round_ends_it(shape, target, train, validation) -> None:
    loop = EstimatorLoop(
        Centroids(shape, 1), build_task(target), train, validation, TrainSettings()
    )
    (result,) = run(loop)
    assert result.metrics["accuracy"] > 0.7
    assert set(as_files(loop.best_weights())) == {"centroids.json"}


def test_a_restored_loop_ends_as_one_that_was_not_interrupted(make, tmp_path: Path) -> None:
    whole = make(epochs=6)
    run(whole)
    part = make(epochs=6)
    for _ in range(3):
        part.run_epoch()
    part.save(tmp_path)
    rest = make(epochs=6)
    rest.restore(tmp_path)
    assert rest.epoch == 3
    assert rest.best == part.best
    run(rest)
    assert as_files(rest.best_weights()) == as_files(whole.best_weights())
    other = make(epochs=7)
    with pytest.raises(CheckpointError, match="of a trial with other settings"):
        other.restore(tmp_path)


def test_files_that_an_estimator_does_not_take_are_a_torn_checkpoint(make, shape, tmp_path) -> None:
    loop = make(epochs=6)
    loop.run_epoch()
    loop.save(tmp_path)

    class Other(Slopes):
        def load(self, files):
            raise KeyError("another.json")

    with pytest.raises(CheckpointError, match="Other does not take the files of its checkpoint"):
        make(Other(shape, 1), epochs=6).restore(tmp_path)


def test_what_cannot_resume_is_not_saved(shape, target, train, validation, tmp_path: Path) -> None:
    loop = EstimatorLoop(
        Centroids(shape, 1), build_task(target), train, validation, TrainSettings()
    )
    loop.run_epoch()
    loop.save(tmp_path / "last")
    assert not (tmp_path / "last").exists()


def test_saving_takes_a_small_share_of_the_time(make, shape, tmp_path: Path) -> None:
    saved = []

    class Slow(Slopes):
        def save(self):
            saved.append(1)
            time.sleep(0.5)
            return super().save()

        def keep(self):
            return super().save

    loop = make(Slow(shape, 1), epochs=50)
    for _ in range(10):
        loop.run_epoch()
        loop.save(tmp_path)
    assert len(saved) == 1


def _yields(*rounds: object) -> type[Slopes]:
    class Yields(Slopes):
        def fit(self, *_: object, **__: object):
            yield from rounds

    return Yields


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        (_yields(), TrainError, "Yields.fit ends after 0 rounds"),
        (_yields(0.5), ConfigError, "Yields.fit yields a float"),
        (_yields(Round(float("nan"))), DivergedError, "training loss"),
        (_yields(Round(1.0, outputs=np.ones(3))), ConfigError, r"shape \(3,\)"),
    ],
)
def test_odd_rounds_are_told(make, shape, kind, error, words) -> None:
    with pytest.raises(error, match=words):
        make(kind(shape, 1)).run_epoch()


def test_a_pickle_ends_the_first_round(make, shape) -> None:
    import pickle

    class Pickles(Slopes):
        def save(self):
            return {"state.pkl": pickle.dumps(self.weights)}

    with pytest.raises(TrainError, match=r"state\.pkl, which is a pickle"):
        make(Pickles(shape, 1)).run_epoch()


def test_outputs_of_a_round_spare_a_prediction(make, shape, number) -> None:
    class Gives(Slopes):
        def fit(self, train, validation, *, task, settings):
            for each in super().fit(train, validation, task=task, settings=settings):
                yield dataclasses.replace(each, outputs=super().predict(validation.features))

        def predict(self, features):
            raise AssertionError("it is asked all the same")

    assert make(made(Gives, shape)).run_epoch().metrics == make().run_epoch().metrics


def test_arrays_are_read_only(make, shape) -> None:
    class Writes(Slopes):
        def fit(self, train, validation, *, task, settings):
            train.target[:] = 0
            yield Round(0.0)

    with pytest.raises(ValueError, match="read-only"):
        make(Writes(shape, 1)).run_epoch()


def node(kind: type) -> dict[str, Any]:
    return {"_target_": f"{kind.__module__}.{kind.__name__}"}


def test_a_trials_config_names_an_estimator(config, shape, target, train, validation) -> None:
    mine = config | {"model": node(Centroids) | {"shrink": 0.1}}
    assert is_estimator(mine["model"])
    assert not is_estimator(config["model"])
    assert not is_estimator({"_target_": "tests.odd_models.Plain"})
    loop = build_loop(
        mine, train=train, validation=validation, shape=shape, target=target, threads=3
    )
    assert isinstance(loop, EstimatorLoop)
    assert loop.settings.threads == 3
    assert loop.run_epoch().metrics["accuracy"] > 0.7
    member = build_member(mine, loop.best_weights(), shape=shape, target=target)
    assert loop.best is not None
    assert Committee([member]).measure(loop.task, validation) == pytest.approx(
        dict(loop.best.metrics)
    )
    with pytest.raises(ConfigError, match="makes a Plain, which is no Estimator"):
        build_estimator({"_target_": "tests.odd_models.Plain"}, shape=shape, outputs=1)
    wide = apply(mine, {"model.shrink": 0.5})
    assert wide["model"]["shrink"] == 0.5
    assert torch.is_tensor(next(iter(loop.best_weights().values())))
