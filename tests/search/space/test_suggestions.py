"""Suggested trials: completed by the config, held by the space, or named."""

from __future__ import annotations

from typing import Any

import pytest

from rayml.config.compose import compose
from rayml.errors import InvalidConfigError
from rayml.search.space.space import Space
from rayml.search.space.suggestions import adopt_suggestions, check_suggestions
from rayml.stages.checks.preflight import trial_config

CONFIG: dict[str, Any] = {
    "model": {"family": "mlp", "mlp": {"width": 8}, "trees": {"leaves": 31, "rate": 0.0}},
}
SPACE = Space.parse(
    {
        "model": {
            "family": {"type": "categorical", "choices": ["mlp", "trees"]},
            "mlp": {
                "width": {"type": "int", "low": 4, "high": 64, "when": {"model.family": "mlp"}}
            },
            "trees": {
                "leaves": {"type": "int", "low": 2, "high": 99, "when": {"model.family": "trees"}},
                "rate": {
                    "type": "float",
                    "low": 0.01,
                    "high": 1.0,
                    "when": {"model.family": "trees"},
                },
            },
        }
    }
)


def test_what_a_suggestion_lacks_is_the_config_s() -> None:
    found = adopt_suggestions([{"model.family": "trees", "model.trees.rate": 0.1}], SPACE, CONFIG)
    assert found.fitting == (
        {"model.family": "trees", "model.trees.leaves": 31, "model.trees.rate": 0.1},
    )
    assert not found.unfit


@pytest.mark.parametrize(
    "suggestion",
    [
        {"model.family": "trees"},  # the config's rate is out of the range
        {"model.family": "forest"},
        {"model.family": "mlp", "model.mlp.width": 1000},
        {"model.family": "mlp", "seed": 3},  # not searched
    ],
)
def test_one_that_the_space_does_not_hold_is_named(suggestion: dict[str, Any]) -> None:
    found = adopt_suggestions([suggestion, {"model.family": "mlp"}], SPACE, CONFIG)
    assert found.fitting == ({"model.family": "mlp", "model.mlp.width": 8},)
    (line,) = found.unfit
    assert all(str(value) in line for value in suggestion.values())


def test_the_same_is_suggested_once() -> None:
    twice = [{"model.family": "mlp"}, {"model.family": "mlp", "model.mlp.width": 8}]
    assert len(adopt_suggestions(twice, SPACE, CONFIG).fitting) == 1


def test_a_key_that_is_nowhere_is_an_error() -> None:
    check_suggestions([{"model.trees.rate": 0.1}], SPACE, CONFIG)
    with pytest.raises(InvalidConfigError, match=r"suggestions\.1: 'model\.tree\.rate' is"):
        check_suggestions([{"model.family": "mlp"}, {"model.tree.rate": 0.1}], SPACE, CONFIG)


@pytest.mark.parametrize("space", ["all", "all_fast"])
def test_all_suggestions_of_all_families_fit(space: str) -> None:
    composed = compose(["data=wine", f"space={space}"])
    config = composed.typed()
    found = adopt_suggestions(
        config.search.suggestions, Space.parse(config.space), trial_config(composed.plain)
    )
    assert not found.unfit
    assert {each["model.family"] for each in found.fitting} == {"mlp", "tabm", "lightgbm", "linear"}
