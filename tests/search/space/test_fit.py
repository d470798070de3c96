"""A space is checked against the config that it searches."""

from __future__ import annotations

from typing import Any

import pytest

from rayml.errors import InvalidConfigError
from rayml.search.space.fit import check_fit
from rayml.search.space.space import Space

INT = {"type": "int", "low": 1, "high": 4}


def problems(tree: dict[str, Any], config: dict[str, Any]) -> tuple[str, ...]:
    try:
        check_fit(Space.parse(tree), config)
    except InvalidConfigError as error:
        return error.problems
    return ()


def test_a_space_that_fits(config: dict[str, Any]) -> None:
    tree = {
        "model": {"width": INT, "dropout": INT, "depth": {**INT, "when": {"model.width": 2}}},
        "train": {"clip_norm": {"type": "categorical", "choices": [None, 1.0]}, "epochs": INT},
        "task": {"metric": {"type": "categorical", "choices": ["auroc"]}},
    }
    assert problems(tree, config) == ()


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"data": {"split": {"seed": INT}}}, "space.data.split.seed: only keys of model, task"),
        ({"model": {"widht": INT}}, "space.model.widht: not a key of the config; known are model"),
        (
            {"model": {"x": {"y": INT}}},
            "space.model.x.y: not a key of the config; known are model,",
        ),
        ({"train": {"optimizer": INT}}, "space.train.optimizer: names a section"),
        (
            {"model": {"width": {"type": "float", "low": 1, "high": 2}}},
            "space.model.width: 1.0 is not int, as the 32 of the config is",
        ),
        (
            {"train": {"optimizer": {"lr": {"type": "float", "low": 0, "high": 1}}}},
            "space.train.optimizer.lr: ",
        ),
        (
            {"train": {"batch_size": {"type": "categorical", "choices": ["many"]}}},
            "space.train.batch_size: ",
        ),
        (
            {"model": {"width": {**INT, "when": {"model.kind": 1}}}},
            "space.model.width: when.model.kind is neither searched nor a key",
        ),
    ],
)
def test_a_space_that_does_not_fit(
    tree: dict[str, Any], words: str, config: dict[str, Any]
) -> None:
    found = problems(tree, config)
    assert any(problem.startswith(words) for problem in found), found


def test_what_a_sweep_would_choose_may_be_searched(config: dict[str, Any]) -> None:
    chosen = {**config, "model": {**config["model"], "width": "auto"}}
    assert problems({"model": {"width": INT}}, chosen) == ()
    half = {"type": "float", "low": 0.1, "high": 0.9}
    assert "0.1 is not int or str, as the 'auto'" in problems({"model": {"width": half}}, chosen)[0]


def test_all_keys_are_reported_together(config: dict[str, Any]) -> None:
    found = problems({"data": {"x": INT}, "model": {"y": INT}, "train": {"epochs": INT}}, config)
    assert [problem.partition(":")[0] for problem in found] == ["space.data.x", "space.model.y"]
