"""A config may hold several families of models, of which a trial trains one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayml.config.components.trust import ONLY_OWN
from rayml.config.compose import checked, compose
from rayml.config.stored import StoredConfig
from rayml.errors import ConfigError, SpaceError
from rayml.search.space.fit import check_fit
from rayml.search.space.space import Space
from rayml.stages.checks.preflight import component_problems, trial_config
from rayml.train.build import apply
from rayml.train.families import all_models, chosen_model, family_of

MLP = {"_target_": "rayml.models.nets.mlp.MLP", "width": 8}
OTHER = {"_target_": "rayml.models.nets.resnet.TabularResNet", "width": 4}
BOTH = {"family": "small", "small": MLP, "deep": OTHER}


def test_the_family_says_which_model_is_trained() -> None:
    assert chosen_model(MLP) == MLP
    assert chosen_model(BOTH) == MLP
    assert all_models(BOTH) == {"model.small": MLP, "model.deep": OTHER}
    assert all_models(MLP) == {"model": MLP}


@pytest.mark.parametrize("family", ["none", "family", None, 3])
def test_an_unknown_family_is_refused(family: Any) -> None:
    with pytest.raises(SpaceError, match="Take one of deep, small"):
        chosen_model({**BOTH, "family": family})


def test_a_trial_has_the_model_of_its_family_with_its_values() -> None:
    base = {"model": BOTH, "task": {}, "train": {"epochs": 3}}
    found = apply(base, {"model.family": "deep", "model.deep.width": 32, "train.epochs": 5})
    assert found["model"] == {**OTHER, "width": 32}
    assert found["train"] == {"epochs": 5}
    # The values of one trial leave the base, and a trial's config can be changed further.
    assert base["model"]["deep"]["width"] == 4
    assert apply(found, {"train.epochs": 7})["model"] == found["model"]
    assert apply(base, {})["model"] == MLP
    assert family_of({"model.family": "deep"}) == "deep"
    assert family_of({}) == ""


def test_the_space_of_all_fits_and_searches_each_family_where_it_is_chosen() -> None:
    plain = compose(["space=all", "data=wine"]).plain
    space = Space.parse(plain["space"])
    check_fit(space, trial_config(plain))
    for parameter in space.parameters:
        if parameter.key.startswith("model.mlp.") and parameter.key.count(".") == 2:
            conditions = parameter.when.keys()
            assert conditions & {"model.family", "model.mlp.numeric"}, parameter.key


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({**BOTH, "family": "none"}, "no family 'none'; take one of deep, small"),
        ({**BOTH, "deep": {"width": 3}}, "the family deep is no component"),
        ({"width": 3}, "a component has no _target_"),
    ],
)
def test_a_section_that_is_no_model_is_a_problem(model: Any, words: str) -> None:
    plain = {**compose(["data=wine"]).plain, "model": model}
    assert any(words in problem for problem in checked(plain).problems)


def test_every_family_is_checked() -> None:
    plain = compose(["data=wine", "space=none"]).plain
    wrong = {**BOTH, "deep": {**OTHER, "widht": 3}}
    (problem,) = component_problems({**plain, "model": wrong})
    assert problem.startswith("model.deep: ")
    assert "widht" in problem


def test_a_setting_that_only_an_estimator_would_read_is_refused() -> None:
    node = {"_target_": "tests.toy_estimators.Centroids"}
    rate = {"type": "float", "low": 0.1, "high": 0.5}
    plain = compose(["data=wine", "space=none"]).plain
    section = {"family": "small", "small": MLP, "near": node}

    def problems(when: dict[str, Any]) -> list[str]:
        space = {
            "model": {"family": {"type": "categorical", "choices": ["small", "near"]}},
            "train": {"optimizer": {"lr": {**rate, "when": when}}},
        }
        return component_problems({**plain, "model": section, "space": space})

    assert problems({"model.family": "small"}) == []
    (problem,) = problems({"model.family": "near"})
    assert "as Centroids does not read it" in problem


def test_a_stored_family_that_is_not_trusted_is_refused() -> None:
    plain = compose(["data=wine", "space=none"]).plain
    hostile = {**BOTH, "deep": {"_target_": "os.system", "command": "true"}}
    read = StoredConfig(Path("config.yaml"), {**plain, "model": BOTH})
    assert read.trusted(ONLY_OWN).typed().model == BOTH
    with pytest.raises(ConfigError, match=r"model\.deep: .*os\.system"):
        StoredConfig(Path("config.yaml"), {**plain, "model": hostile}).trusted(ONLY_OWN)
