"""What a sweep optimises: names, directions and defaults of metrics, known without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rayml.errors import ConfigError
from rayml.types import Direction, TaskName

LOSS = "loss"

_CLASSIFICATION: Mapping[str, Direction] = {
    "accuracy": "maximize",
    "auroc": "maximize",
    "log_loss": "minimize",
    "f1": "maximize",
    "calibration_error": "minimize",
}
DIRECTIONS: Mapping[TaskName, Mapping[str, Direction]] = {
    "binary": _CLASSIFICATION,
    "multiclass": _CLASSIFICATION,
    "regression": {"rmse": "minimize", "mae": "minimize", "r2": "maximize"},
}
PARAMETERS = "parameters"
TRAIN_SECONDS = "train_seconds"
# Quantities of a trial rather than of its predictions.
MEASURED: Mapping[str, Direction] = {PARAMETERS: "minimize", TRAIN_SECONDS: "minimize"}
DEFAULTS: Mapping[TaskName, str] = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "regression": "rmse",
}


class Directed(Protocol):
    """Something whose values are better when smaller, or when larger."""

    @property
    def direction(self) -> Direction:
        """Which values are better."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric that is optimised, and whether it is minimised or maximised."""

    metric: str
    direction: Direction


def choose_objective(
    task: TaskName, metric: str | None, users: Mapping[str, Directed]
) -> Objective:
    """Choose what is optimised.

    Args:
        task: what is predicted.
        metric: name of a metric, or `loss`; None takes accuracy or RMSE.
        users: the user's own metrics by name.

    Raises:
        ConfigError: a metric that is unknown, named twice, or has no direction.
    """
    directions = metric_directions(task, users)
    chosen = DEFAULTS[task] if metric is None else metric
    if chosen not in directions:
        raise ConfigError(
            f"task.metric is a metric of a {task} task",
            value=chosen,
            remedy=f"Take one of {', '.join(directions)}, or add yours to task.metrics",
        )
    direction = directions[chosen]
    if direction is None:
        raise _undirected(chosen, None)
    return Objective(chosen, direction)


def metric_directions(task: TaskName, users: Mapping[str, Directed]) -> dict[str, Direction | None]:
    """Every metric of a task by name, with its direction.

    Args:
        task: what is predicted.
        users: the user's own metrics by name; those that say no direction have None.

    Raises:
        ConfigError: a user's metric under a name that is taken, or of a direction unheard of.
    """
    directions: dict[str, Direction | None] = {LOSS: "minimize", **DIRECTIONS[task]}
    for name, own in users.items():
        if name in directions or name in MEASURED:
            raise ConfigError(
                "task.metrics adds metrics under new names", value=name, remedy="Rename yours"
            )
        directions[name] = _direction(name, own)
    return directions


def _direction(name: str, metric: Directed) -> Direction | None:
    direction: object = getattr(metric, "direction", None)
    if direction == "minimize":
        return "minimize"
    if direction == "maximize":
        return "maximize"
    if direction is None:
        return None
    raise _undirected(name, direction)


def _undirected(name: str, direction: object) -> ConfigError:
    return ConfigError(
        f"task.metrics.{name} has a `direction`, minimize or maximize",
        value=direction,
        remedy="Set that attribute on the metric",
    )
