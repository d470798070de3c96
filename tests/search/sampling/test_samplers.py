"""Samplers by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from rayml.errors import ConfigError, SpaceError
from rayml.search.sampling.samplers import RandomFirst, check_sampler
from rayml.search.space.space import Space
from rayml.search.study.study import Study
from rayml.settings.search import SamplerSettings
from tests.search.plans import report, tell

FLOATS = {
    "model": {"dropout": {"type": "float", "low": 0.0, "high": 0.5}},
    "train": {"optimizer": {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}},
}
GRID = {
    "model": {"width": {"type": "categorical", "choices": [16, 32]}},
    "train": {"epochs": {"type": "int", "low": 1, "high": 3}},
}


def run(study: Study, trials: int, at_once: int = 1) -> list[dict[str, Any]]:
    """Ask several at once and tell each a value that follows from its parameters."""
    params = []
    while len(params) < trials:
        asked = study.ask(min(at_once, trials - len(params)))
        if not asked:
            break
        for trial in asked:
            params.append(dict(trial.params))
            value = sum(float(v) for v in trial.params.values())  # type: ignore[arg-type]
            report(study, trial.number, 1, value, {})
            tell(study, trial.number, "COMPLETE", value)
    return params


@pytest.mark.parametrize("name", ["tpe", "optuna_tpe", "random", "qmc", "cmaes", "gp"])
def test_the_seed_decides(name: str, make_study: Callable[..., Study], tmp_path: Any) -> None:
    settings = SamplerSettings(name=name, startup_trials=3)  # type: ignore[arg-type]
    runs = [
        run(make_study(sampler=settings, seed=seed, journal=tmp_path / str(i), tree=FLOATS), 6)
        for i, seed in enumerate([1, 1, 2])
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("at_once", [1, 4])
def test_exactly_so_many_trials_of_optunas_tpe_are_random(
    at_once: int, make_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[int] = set()
    draw = optuna.samplers.RandomSampler.sample_independent

    def watched(self: Any, study: Any, trial: Any, *rest: Any) -> Any:
        drawn.add(trial.number)
        return draw(self, study, trial, *rest)

    monkeypatch.setattr(optuna.samplers.RandomSampler, "sample_independent", watched)
    study = make_study(sampler=SamplerSettings(name="optuna_tpe", startup_trials=5), tree=FLOATS)
    run(study, 16, at_once)
    assert drawn == set(range(5))


def test_tpe_searches_from_the_first_trial_without_startup(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(sampler=SamplerSettings(name="tpe", startup_trials=0), tree=FLOATS)
    assert len(run(study, 4, at_once=2)) == 4


def test_random_first_hands_each_trial_to_one_sampler() -> None:
    first, model = optuna.samplers.RandomSampler(seed=0), optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=RandomFirst(2, first, model))
    values = [study.ask().suggest_float("x", 0, 1) for _ in range(3)]
    again = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert values[:2] == [again.ask().suggest_float("x", 0, 1) for _ in range(2)]
    other = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    assert values[2] == other.ask().suggest_float("x", 0, 1)


def test_a_grid_is_searched_once_and_ends(make_study: Callable[..., Study]) -> None:
    study = make_study(sampler=SamplerSettings(name="grid"), tree=GRID)
    points = run(study, 100, at_once=4)
    assert len(points) == 6
    assert {tuple(p.items()) for p in points} == {
        (("model.width", w), ("train.epochs", e)) for w in (16, 32) for e in (1, 2, 3)
    }
    assert study.ask() == []


def test_a_grid_needs_finite_choices(config: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match=r"space\.model\.dropout has infinitely many values"):
        check_sampler(SamplerSettings(name="grid"), Space.parse(FLOATS), config)


def test_a_grid_has_a_limit(config: dict[str, Any]) -> None:
    wide = {"type": "int", "low": 1, "high": 1000}
    space = Space.parse({"model": {"width": wide, "depth": wide}})
    with pytest.raises(SpaceError, match="more than 100000 points"):
        check_sampler(SamplerSettings(name="grid"), space, config)


@pytest.mark.parametrize("option", ["n_candidates", "seed", "startup_trials"])
def test_an_option_that_the_class_lacks(option: str, config: dict[str, Any]) -> None:
    settings = SamplerSettings(name="tpe", options={option: 3})
    words = f"tpe has no option '{option}'. Its .* are candidates, share, good, others"
    with pytest.raises(ConfigError, match=words):
        check_sampler(settings, Space.parse(FLOATS), config)


def test_an_option_of_a_wrong_value(config: dict[str, Any]) -> None:
    settings = SamplerSettings(name="qmc", options={"qmc_type": "nope"})
    with pytest.raises(
        ConfigError, match=r"sampler qmc refuses its search\.sampler\.options.*nope"
    ):
        check_sampler(settings, Space.parse(FLOATS), config)


@pytest.mark.parametrize(
    "options", [{"candidates": 0}, {"share": 0.0}, {"trust": 2.0}, {"width": -1.0}, {"others": 0}]
)
def test_numbers_of_tpe_have_ranges(options: dict[str, Any], config: dict[str, Any]) -> None:
    settings = SamplerSettings(name="tpe", options=options)
    with pytest.raises(ConfigError, match=r"search\.sampler\.options"):
        check_sampler(settings, Space.parse(FLOATS), config)


def test_options_reach_the_sampler(make_study: Callable[..., Study]) -> None:
    settings = SamplerSettings(name="tpe", startup_trials=2, options={"candidates": 1})
    assert len(run(make_study(sampler=settings, tree=FLOATS), 4)) == 4


@pytest.mark.parametrize(("name", "package"), [("cmaes", "cmaes"), ("gp", "torch")])
def test_a_package_that_is_not_installed(
    name: str, package: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    settings = SamplerSettings(name=name)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        check_sampler(settings, Space.parse(FLOATS), config)
