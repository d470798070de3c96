"""What a search seeks, and what counts of a trial."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rayml.errors import ConfigError, InvalidConfigError
from rayml.search.problem.goals import Goals, check_goals_of_sampler, choose_goals, outcome
from rayml.settings.search import BoundSettings, ObjectiveSettings, SamplerSettings, SearchSettings
from rayml.tasks.objectives import Objective
from rayml.tasks.table import task_type

ACCURACY = Objective("accuracy", "maximize")
KNOWN = {**task_type("binary").known_metrics({}), "profit": None}
SMALL = {"parameters": BoundSettings(max=100)}


def chosen(*entries: Any, **bounds: BoundSettings) -> Goals:
    given = [ObjectiveSettings(**({"metric": e} if isinstance(e, str) else e)) for e in entries]
    return choose_goals(ACCURACY, KNOWN, given, bounds)


def test_directions_are_the_metrics_own_or_given() -> None:
    profit = {"metric": "profit", "direction": "maximize"}
    goals = chosen("parameters", "auroc", profit, {"metric": "log_loss", "direction": "minimize"})
    assert goals.first == ACCURACY
    assert goals.objectives[1:] == (
        Objective("parameters", "minimize"),
        Objective("auroc", "maximize"),
        Objective("profit", "maximize"),
        Objective("log_loss", "minimize"),
    )
    assert goals.directions == ("maximize", "minimize", "maximize", "maximize", "minimize")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("beauty", r"search\.objectives\.1: .*'beauty'; known are loss, .*train_seconds"),
        ("accuracy", r"search\.objectives\.1: 'accuracy' is an objective already"),
        ("parameters", r"search\.objectives\.1: 'parameters' is an objective already"),
        ("profit", r"search\.objectives\.1: profit has no direction"),
        (
            {"metric": "auroc", "direction": "minimize"},
            r"search\.objectives\.1: auroc has a direction of its own, maximize; remove 'minimize'",
        ),
    ],
)
def test_an_objective_that_cannot_be(entry: Any, words: str) -> None:
    with pytest.raises(InvalidConfigError, match=words):
        chosen("parameters", entry)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        chosen("beauty", "accuracy", grace=BoundSettings(max=1))
    keys = [problem.partition(": ")[0] for problem in caught.value.problems]
    assert keys == ["search.objectives.0", "search.objectives.1", "search.constraints.grace"]


def test_a_constraint_needs_no_direction() -> None:
    assert set(chosen(profit=BoundSettings(min=3)).constraints) == {"profit"}


def test_goals_in_words() -> None:
    bounds = {
        "calibration_error": BoundSettings(max=0.05),
        "f1": BoundSettings(min=0.1, max=1),
    }
    goals = chosen("parameters", **bounds)
    assert str(goals) == "accuracy, parameters with calibration_error <= 0.05, 0.1 <= f1 <= 1"
    assert str(chosen()) == "accuracy"


def search(sampler: str, objectives: int, constraints: int) -> SearchSettings:
    return SearchSettings(
        sampler=SamplerSettings(name=sampler),  # type: ignore[arg-type]
        objectives=tuple(ObjectiveSettings(metric=f"m{i}") for i in range(objectives - 1)),
        constraints={f"c{i}": BoundSettings(max=1.0) for i in range(constraints)},
    )


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random", "qmc", "grid"])
def test_samplers_that_take_any_goals(sampler: str) -> None:
    check_goals_of_sampler(search(sampler, 3, 2))


@pytest.mark.parametrize(("objectives", "constraints"), [(2, 0), (1, 1)])
def test_a_sampler_of_one_objective(objectives: int, constraints: int) -> None:
    check_goals_of_sampler(search("cmaes", 1, 0))
    with pytest.raises(ConfigError, match=r"sampler\.name=cmaes.*Choose tpe, nsga2 or gp"):
        check_goals_of_sampler(search("cmaes", objectives, constraints))


def test_all_values_are_those_of_the_best_epoch_by_the_first_objective() -> None:
    goals = choose_goals(ACCURACY, KNOWN, [ObjectiveSettings(metric="log_loss")], SMALL)
    curve = {1: 0.5, 2: 0.75, 3: 0.75}
    metrics = {e: {"log_loss": 1.0 / e, "parameters": 150} for e in curve}
    found = outcome(goals, curve, metrics)
    assert (found.epoch, found.value, found.violation) == (2, 0.75, 50)
    assert list(found.values.items()) == [("accuracy", 0.75), ("log_loss", 0.5)]
    assert found.undefined == ""


def test_the_first_objective_may_be_constrained_too() -> None:
    goals = choose_goals(ACCURACY, KNOWN, (), {"accuracy": BoundSettings(min=0.875)})
    assert outcome(goals, {1: 0.75}, {}).violation == 0.125
    assert outcome(goals, {}, {}, 1.0).violation == 0


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"auroc": None, "parameters": 5}, "auroc is None at its end"),
        ({"auroc": math.inf, "parameters": 5}, "auroc is inf at its end"),
        ({"auroc": 0.5}, "the constrained parameters is undefined at its end"),
    ],
)
def test_what_is_sought_and_undefined_is_told(metrics: dict[str, Any], words: str) -> None:
    goals = choose_goals(ACCURACY, KNOWN, [ObjectiveSettings(metric="auroc")], SMALL)
    assert outcome(goals, {1: 0.5}, {1: metrics}).undefined == words


def test_a_trial_without_an_epoch_has_no_outcome() -> None:
    found = outcome(Goals((ACCURACY,), SMALL), {}, {})
    assert (found.epoch, found.value, found.violation) == (None, None, math.inf)
    assert found.undefined == "accuracy is None at its end"
