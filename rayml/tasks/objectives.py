"""What a sweep optimises: names, directions and defaults of metrics, known without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    "average_precision": "maximize",
    "balanced_accuracy": "maximize",
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


# Of a binary task; of several classes a share of an even one's, so that the two agree.
_RARE = 0.1


def metric_for(task: TaskName, shares: Sequence[float]) -> str:
    """The metric that means something for classes of these shares.

    Where the rarest class has less than a tenth of the rows (of several classes: less than a fifth
    of an even share), a model that never finds it has a fine accuracy. Average precision asks how
    many of those that are put first belong to it; of a binary task whose positive class is the
    frequent one that says nothing, and the AUROC takes both classes alike.

    Args:
        task: what is predicted.
        shares: of the classes in the training split, in the order of their codes.
    """
    if task == "regression" or min(shares) * len(shares) / 2 >= _RARE:
        return DEFAULTS[task]
    return "auroc" if task == "binary" and shares[1] > shares[0] else "average_precision"


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
        metric: name of a metric, or `loss`; None takes accuracy or RMSE, as `metric_for` does
            where no class is rare.
        users: the user's own metrics by name.

    Raises:
        ConfigError: a metric that is unknown, named twice, or has no direction.
    """
    directions = metric_directions(task, users)
    chosen = DEFAULTS[task] if metric is None else metric
    if chosen not in directions:
        raise ConfigError(
            f"task.metric is a metric of a {task} task",
            found=chosen,
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
                "task.metrics adds metrics under new names", found=name, remedy="Rename yours"
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
        found=direction,
        remedy="Set that attribute on the metric",
    )
