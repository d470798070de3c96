"""A setting that no file writes out is known all the same."""

from __future__ import annotations

import pytest

from rayml.config.compose import compose
from rayml.config.setting_keys import is_setting


@pytest.mark.parametrize(
    "key",
    [
        "data.preprocess.numeric",
        "data.preprocess",
        "data.split.column",
        "data.split.test",
        "data.schema.kinds.zip",
        "serve.canary.guards.window_s",
        "search.constraints.parameters.max",
        "train.optimizer.beta1",
    ],
)
def test_settings(key: str) -> None:
    assert is_setting(key)


@pytest.mark.parametrize(
    "key",
    [
        "data.preprocess.numerics",
        "train.epoch",
        "model.widht",
        "data.source.folder",
        "x",
        "",
        "a.b",
    ],
)
def test_other_keys(key: str) -> None:
    assert not is_setting(key)


def test_they_are_set_without_a_plus() -> None:
    found = compose(
        [
            "data=csv",
            "data.source.paths=a.csv",
            "data.target=y",
            "data.task=regression",
            "data.preprocess.numeric=quantile",
            "data.split.column=when",
            "data.split.method=time",
            "data.split.test=0.1",
            "data.schema.kinds.zip=categorical",
            "+data.preprocess.quantiles=64",
        ]
    ).typed()
    assert (found.data.preprocess.numeric, found.data.preprocess.quantiles) == ("quantile", 64)
    assert (found.data.split.column, found.data.split.test) == ("when", 0.1)
    assert found.data.schema.kinds == {"zip": "categorical"}


def test_a_wrong_value_of_one_is_a_problem() -> None:
    (problem,) = compose(["data=wine", "data.preprocess.numeric=ranks"]).problems
    assert problem.startswith("data.preprocess.numeric: ")
