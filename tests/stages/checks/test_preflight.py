"""What is wrong with a config is found before anything is spent, all of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rayml.config.components.build import build
from rayml.config.compose import compose
from rayml.errors import BuildError, InvalidConfigError
from rayml.search.tracking import tracker
from rayml.stages.checks.preflight import (
    _check_estimator,
    _check_optimizer,
    _raised_by,
    component_problems,
    config_problems,
)
from rayml.types import FeatureShape


def test_a_sound_config_has_no_problems() -> None:
    composed = compose()
    assert config_problems(composed) == []
    assert component_problems(composed.plain) == []


def test_a_space_that_does_not_fit_is_told_with_composition_errors() -> None:
    composed = compose(
        ["train.epochs=0", "+space.model.wings={type: int, low: 1, high: 2}", "trian.seed=1"]
    )
    keys = {problem.partition(":")[0] for problem in config_problems(composed)}
    assert keys == {"train.epochs", "space.model.wings", "trian.seed"}


def test_a_sampler_that_cannot_search_the_space_is_told() -> None:
    (problem,) = config_problems(compose(["search=grid"]))
    assert "step" in problem


def test_a_tracker_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    (problem,) = config_problems(compose(["search.tracking.mlflow=sqlite:///mlflow.db"]))
    assert problem.startswith("search.tracking: MLflow is not installed")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["search=cmaes", "search.objectives=[parameters]"], "search: the search has 2 objectives"),
        (["search.cost=2.5"], "search: search.cost is 2.5"),
        (["search.epochs=0"], "search.epochs: "),
        (["search.deterministic=true", "search.seconds=9"], "search: search.deterministic is set"),
        (["search=pbt", "train.patience=3"], "search: search.population trains all trials"),
        (["search=pbt", "search.pruner.name=asha"], "search: search.population trains"),
        (["search=pbt", "search.sampler.name=tpe"], "search: search.sampler.name=tpe learns"),
        (["search=pbt", "search.population.quantile=0.6"], "search.population.quantile: "),
        (["search.objectives=[{metric: auroc, direction: up}]"], "search.objectives.0.direction: "),
        (["+search.constraints={parameters: {}}"], "search.constraints.parameters: "),
    ],
)
def test_goals_and_budgets_that_cannot_be_are_told(overrides: list[str], words: str) -> None:
    (problem,) = config_problems(compose(overrides))
    assert problem.startswith(words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("search.objectives=[beauty]", "search.objectives.0: .*known are loss, accuracy"),
        ("search.objectives=[accuracy]", "search.objectives.0: 'accuracy' is an objective already"),
        ("+search.constraints={beauty: {max: 1}}", "search.constraints.beauty: "),
    ],
)
def test_goals_that_name_nothing_are_told(override: str, words: str) -> None:
    composed = compose([override])
    assert config_problems(composed) == []
    (problem,) = component_problems(composed.plain)
    assert re.match(words, problem)


def test_goals_that_do_not_parse_are_told_once() -> None:
    composed = compose(["search.objectives=[{metric: 3}]"])
    assert len(config_problems(composed)) == 1
    assert component_problems(composed.plain) == []


def test_sound_goals_have_no_problems() -> None:
    composed = compose(
        [
            "search=pareto",
            "search.objectives=[parameters, {metric: auroc}]",
            "+search.constraints={calibration_error: {max: 0.05}, train_seconds: {max: 60}}",
            "search.cost=1",
            "search.prices.cpu_hour=0.04",
        ]
    )
    assert config_problems(composed) == []
    assert component_problems(composed.plain) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model._target_=no.such.Net", "model: "),
        ("+model.colour=red", "colour"),
        ("data.source._target_=json.nothing", "data.source: "),
        ("+task.metrics.gain={_target_: no.such.Gain}", "task.metrics.gain: "),
        ("+task.metrics.gain=0.5", "task.metrics.gain: "),
        ("task.metric=beauty", "task: "),
    ],
)
def test_components_that_do_not_build_are_told(override: str, words: str) -> None:
    (problem,) = component_problems(compose([override]).plain)
    assert words in problem


def test_an_error_of_the_users_code_names_its_line() -> None:
    node = {"_target_": "tests.odd_models.RaisesAtOnce"}
    [problem] = _raised_by("model", lambda: build(node, shape=FeatureShape(3), outputs=1))
    assert problem.startswith("model: tests.odd_models.RaisesAtOnce fails on its arguments")
    assert "odd_models.py:" in problem
    assert problem.endswith('raise ValueError("no such activation"))')


def test_a_users_optimizer_is_bound_and_what_is_searched_of_it_is_taken() -> None:
    def plain(space: dict[str, Any], **node: Any) -> dict[str, Any]:
        given = {"name": "adamw", "lr": 0.1, "beta1": 0.9, "_target_": "tests.odd_optimizers.Sign"}
        return {"train": {"optimizer": given | node}, "space": space}

    rate = {"type": "float", "low": 0.1, "high": 0.9}
    _check_optimizer(plain({"train": {"optimizer": {"decay": rate, "lr": rate}}}))
    with pytest.raises(InvalidConfigError, match=r"beta1: searching it has no effect, as .*Sign"):
        _check_optimizer(plain({"train": {"optimizer": {"beta1": rate}}}))
    with pytest.raises(BuildError, match="unexpected keyword argument 'rho'"):
        _check_optimizer(plain({}, rho=1))


def test_the_shipped_spaces_suit_every_task_and_a_setting_in_vain_is_refused() -> None:
    for data in ("diabetes", "wine", "breast_cancer"):
        for model in ("mlp", "resnet", "tabm", "ft_transformer"):
            assert config_problems(compose([f"data={data}", f"model={model}"])) == []
    momentum = "+space.train.optimizer.momentum={type: float, low: 0.1, high: 0.9}"
    composed = compose([momentum])
    [problem] = config_problems(composed)
    assert "searching it has no effect, as train.optimizer.name is adamw" in problem
    # A sweep that was begun with it goes on.
    assert config_problems(composed, again=True) == []


def test_settings_that_an_estimator_does_not_read_are_not_searched() -> None:
    node = {"_target_": "tests.toy_estimators.Centroids"}
    rate = {"type": "float", "low": 0.1, "high": 0.5}
    plain = {
        "model": node,
        "space": {
            "model": {"shrink": rate},
            "train": {"optimizer": {"lr": rate}, "label_smoothing": rate, "patience": rate},
        },
    }
    with pytest.raises(InvalidConfigError) as told:
        _check_estimator("model", node, plain)
    keys = [problem.partition(":")[0] for problem in told.value.problems]
    assert keys == ["space.train.optimizer.lr", "space.train.label_smoothing"]
    assert "as Centroids does not read it" in told.value.problems[0]
    _check_estimator("model", {"_target_": "rayml.models.nets.mlp.MLP"}, plain)
