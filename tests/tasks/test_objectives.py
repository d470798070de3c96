import subprocess
import sys
from types import SimpleNamespace

import pytest

from rayml.errors import ConfigError
from rayml.tasks.objectives import Objective
from rayml.tasks.table import task_names, task_type

BINARY = task_type("binary")


def test_every_metric_has_a_direction_and_every_direction_a_metric():
    for name in task_names():
        task = task_type(name)
        assert set(task.own_metrics()) == set(task.directions)
        assert {task.default_metric, task.proper_metric, *task.blind_metrics} <= set(
            task.directions
        )


@pytest.mark.parametrize(
    ("task", "metric", "expected"),
    [
        ("binary", None, Objective("accuracy", "maximize")),
        ("multiclass", None, Objective("accuracy", "maximize")),
        ("regression", None, Objective("rmse", "minimize")),
        ("regression", "r2", Objective("r2", "maximize")),
        ("binary", "loss", Objective("loss", "minimize")),
    ],
)
def test_metric_and_direction_are_chosen(task, metric, expected):
    assert task_type(task).choose_objective(metric, {}) == expected


def test_a_users_metric_can_be_optimised():
    profit = SimpleNamespace(direction="maximize")
    assert BINARY.choose_objective("profit", {"profit": profit}).direction == "maximize"


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no metric 'acuracy'.*accuracy, auroc.*profit"):
        BINARY.choose_objective("acuracy", {"profit": SimpleNamespace(direction="minimize")})


@pytest.mark.parametrize(("metric", "direction"), [("profit", None), (None, "up")])
def test_a_users_metric_that_is_optimised_needs_a_direction(metric, direction):
    with pytest.raises(ConfigError, match=r"task\.metrics\.profit has (no `dir|the dir)"):
        BINARY.choose_objective(metric, {"profit": SimpleNamespace(direction=direction)})


def test_a_users_metric_that_is_only_measured_needs_none():
    users = {"profit": SimpleNamespace(direction=None), "share": object()}
    assert BINARY.choose_objective(None, users).metric == "accuracy"
    known = BINARY.known_metrics(users)
    assert (known["profit"], known["share"], known["auroc"]) == (None, None, "maximize")


@pytest.mark.parametrize("name", ["accuracy", "loss", "parameters", "train_seconds"])
def test_a_users_metric_needs_a_new_name(name):
    with pytest.raises(ConfigError, match="name of a metric of rayml"):
        BINARY.choose_objective(None, {name: SimpleNamespace(direction="maximize")})


def test_the_planning_process_needs_no_pytorch():
    code = "import sys, rayml.train.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("task", "shares", "metric"),
    [
        ("binary", [0.62, 0.38], "accuracy"),
        ("binary", [0.85, 0.15], "accuracy"),
        ("binary", [0.97, 0.03], "average_precision"),
        ("binary", [0.03, 0.97], "auroc"),
        ("multiclass", [0.1] * 10, "accuracy"),
        ("multiclass", [0.4, 0.33, 0.27], "accuracy"),
        ("multiclass", [0.6, 0.39, 0.01], "average_precision"),
        ("regression", [], "rmse"),
    ],
)
def test_a_rare_class_asks_for_a_metric_that_sees_it(task, shares, metric):
    assert task_type(task).metric_for(shares) == metric
