"""Settings check themselves when they are made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pydantic
import pytest

from rayml.settings.search import ConfirmSettings
from rayml.settings.train import OptimizerSettings, TrainSettings
from rayml.types import Examples, Features


def test_settings_refuse_unknown_keys_and_bad_values_all_at_once() -> None:
    adapter = pydantic.TypeAdapter(TrainSettings)
    with pytest.raises(pydantic.ValidationError) as caught:
        adapter.validate_python({"epochs": 0, "optimizer": {"lr": -1, "speed": 3}})
    where = {".".join(map(str, error["loc"])) for error in caught.value.errors()}
    assert where == {"epochs", "optimizer.lr", "optimizer.speed"}


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 0.0])
def test_settings_refuse_numbers_that_cannot_train(lr: float) -> None:
    with pytest.raises(pydantic.ValidationError):
        OptimizerSettings(lr=lr)


def test_settings_are_frozen() -> None:
    settings = TrainSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epochs = 3  # type: ignore[misc]


def test_examples_know_their_size() -> None:
    features = Features(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.int64))
    examples = Examples(features, np.zeros(3, np.int64))
    assert (len(features), len(examples)) == (3, 3)
    assert examples.nbytes == 3 * 2 * 4 + 3 * 8 + 3 * 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": 1}, "seeds=1 does not show how results vary"),
        ({"seeds": 0}, "ensemble=greedy alone allows"),
        ({"ensemble": 1}, "greater than or equal to 2"),
        ({"seeds": 3, "ensemble": 4}, "more than seeds=3"),
        ({"top": 0, "ensemble": 2}, "set with top=0"),
    ],
)
def test_what_cannot_be_confirmed(values: dict[str, int], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        ConfirmSettings(**values)
