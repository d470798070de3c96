"""What a sweep optimises: metrics, their directions, and the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rayml.errors import ConfigError
from rayml.types import Direction

LOSS = "loss"
PARAMETERS = "parameters"
TRAIN_SECONDS = "train_seconds"
# Quantities of a trial rather than of its predictions.
MEASURED: Mapping[str, Direction] = {PARAMETERS: "minimize", TRAIN_SECONDS: "minimize"}


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
    task: str, metric: str, directions: Mapping[str, Direction | None]
) -> Objective:
    """Choose what is optimised.

    Args:
        task: name of the task.
        metric: name of a metric, or `loss`.
        directions: of every metric, see `metric_directions`.

    Raises:
        ConfigError: the metric is unknown, or has no direction.
    """
    if metric not in directions:
        raise ConfigError(
            f"task={task} has no metric {metric!r}",
            remedy=f"Set task.metric to one of {', '.join(directions)}, or add yours to"
            " task.metrics",
        )
    direction = directions[metric]
    if direction is None:
        raise _undirected(metric, None)
    return Objective(metric, direction)


def metric_directions(
    own: Mapping[str, Direction], users: Mapping[str, Directed]
) -> dict[str, Direction | None]:
    """Every metric of a task by name, with its direction.

    Args:
        own: directions of the task's own metrics.
        users: the user's metrics by name; those without a direction have None.

    Raises:
        ConfigError: a user's metric has a name that is taken, or an unknown direction.
    """
    directions: dict[str, Direction | None] = {LOSS: "minimize", **own}
    for name, users_own in users.items():
        if name in directions or name in MEASURED:
            raise ConfigError(
                f"task.metrics.{name} has the name of a metric of rayml", remedy="Rename yours"
            )
        directions[name] = _direction(name, users_own)
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
    found = "no `direction`" if direction is None else f"the direction {direction!r}"
    return ConfigError(
        f"task.metrics.{name} has {found}",
        remedy="Set its attribute `direction` to 'minimize' or 'maximize'",
    )
