"""The contract of metrics: rayml's own keep it, and one that breaks a part fails that check."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rayml.tasks.table import task_names, task_type
from rayml.tasks.task import Measure
from rayml.testing.contract import check_contract
from rayml.testing.metrics import MetricTests
from rayml.types import Direction, TaskName


class Own:
    def __init__(self, measure: Measure, direction: Direction) -> None:
        self.measure, self.direction = measure, direction

    def __call__(self, prediction: torch.Tensor, target: torch.Tensor) -> Any:
        return self.measure(prediction, target)


def contract_of(metric: Any, of: TaskName = "binary", **attributes: Any) -> MetricTests:
    class Tests(MetricTests):
        task = of

        def make(self) -> Any:
            return metric

    for name, value in attributes.items():
        setattr(Tests, name, value)
    return Tests()


@pytest.mark.parametrize(
    ("task", "name"),
    [(task, name) for task in task_names() for name in task_type(task).own_metrics()],
)
def test_rayml_s_own_keep_it(task: TaskName, name: str) -> None:
    check_contract(
        contract_of(
            Own(task_type(task).own_metrics()[name], task_type(task).directions[name]),
            task,
            stacked=True,
        )
    )


def accuracy(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((prediction > 0.5) == target.bool()).double().mean(-1)


def writing(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return accuracy(prediction.round_(), target)


def first_rows(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return accuracy(prediction[..., :5], target[..., :5])


def pooled(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    found = accuracy(prediction, target)
    return found if found.dim() == 0 else found.mean().expand(found.shape)


def undefined(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    found = accuracy(prediction, target)
    return found / (len(target) > 10)


BROKEN = {
    "test_it_has_a_direction": (Own(accuracy, "up"), "direction is 'up'"),  # type: ignore[arg-type]
    "test_values_are_finite_numbers": (Own(undefined, "maximize"), "of 7 rows it is"),
    "test_inputs_are_left_as_they_are": (Own(writing, "maximize"), "writes to the predictions"),
    "test_the_order_of_rows_does_not_matter": (Own(first_rows, "maximize"), "in another order"),
    "test_better_predictions_have_a_better_value": (
        Own(accuracy, "minimize"),
        "and the direction is minimize",
    ),
    "test_several_models_have_the_values_of_each": (
        Own(pooled, "maximize"),
        "depends on the others",
    ),
}


@pytest.mark.parametrize("check", BROKEN)
def test_what_breaks_the_contract_fails_its_check(check: str) -> None:
    metric, words = BROKEN[check]
    with pytest.raises(AssertionError, match=words):
        getattr(contract_of(metric, stacked=True), check)()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == {name for name in dir(MetricTests) if name.startswith("test_")}
