"""A sampler or pruner of the user's is built, or refused, before anything is spent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from rayml.errors import BuildError, ConfigError
from rayml.search.checks import component_checks, search_checks
from rayml.search.sampling.samplers import build_sampler
from rayml.search.space.space import Space
from rayml.settings.search import SearchSettings
from tests.search.conftest import TREE

HERE = __name__
_SEARCH = TypeAdapter(SearchSettings)


class Seeded:
    """Built with what it names."""

    def __init__(self, seed: int, startup_trials: int, most: int = 3) -> None:
        self.given = (seed, startup_trials, most)


class Lenient:
    """A pruner that stops nothing."""

    def __init__(self, min_epochs: int) -> None:
        self.min_epochs = min_epochs

    def seen(self, number: int, step: int, value: float) -> None: ...

    def decide(self, number: int, step: int, value: float) -> None: ...

    def completed(self, number: int) -> None: ...


def run(config: dict[str, Any], **search: Any) -> None:
    settings = _SEARCH.validate_python(search)
    for _, check in component_checks(settings, Space.parse(TREE), config):
        check()


def test_settings_without_a_users_class_build_none(config: dict[str, Any]) -> None:
    settings = SearchSettings()
    assert list(component_checks(settings, Space.parse(TREE), config)) == []
    keys = [key for key, _ in search_checks(settings, Space.parse(TREE), config)]
    assert keys[0] == "search.sampler"


def test_a_node_keeps_the_settings_beside_it(config: dict[str, Any]) -> None:
    node = {"name": "tpe", "startup_trials": 7, "options": {}, "_target_": f"{HERE}.X", "a": 1}
    settings = _SEARCH.validate_python({"sampler": node}).sampler
    assert (settings.kind, settings.startup_trials, settings.arguments) == (
        f"{HERE}.X",
        7,
        {"a": 1},
    )


def test_optunas_own_samplers_are_components(config: dict[str, Any]) -> None:
    node = {"_target_": "optuna.samplers.TPESampler", "multivariate": False}
    run(config, sampler=node)
    settings = _SEARCH.validate_python({"sampler": node}).sampler
    first, again = (build_sampler(settings, 3), build_sampler(settings, 3, asked=5))
    draws = [each._rng.rng.random() for each in (first, again)]  # type: ignore[attr-defined]
    assert draws[0] != draws[1]  # a resumed sweep does not propose the same again


def test_what_is_no_sampler(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"Seeded makes no optuna\.samplers\.BaseSampler"):
        run(config, sampler={"_target_": f"{HERE}.Seeded"})
    with pytest.raises(BuildError, match="no attribute 'Missing'"):
        run(config, sampler={"_target_": f"{HERE}.Missing"})


def test_a_pruner_has_three_methods(config: dict[str, Any]) -> None:
    run(config, pruner={"_target_": f"{HERE}.Lenient"})
    with pytest.raises(ConfigError, match="has no seen and no decide and no completed"):
        run(config, pruner={"_target_": f"{HERE}.Seeded", "seed": 1})
