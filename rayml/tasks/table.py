"""The tasks by name: those of rayml, and those of installed packages.

A package adds a task by an entry point of the group `rayml.tasks`, in its pyproject.toml:

    [project.entry-points."rayml.tasks"]
    count = "shop.tasks:CountTask"

Its name then works in `data.task`, in each process on each machine where the package is installed.
A stored file that names a task thereby chooses among the code that was installed as a task, and
cannot name other code.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator

from rayml.errors import ConfigError
from rayml.tasks.binary import BinaryTask
from rayml.tasks.multiclass import MulticlassTask
from rayml.tasks.regression import RegressionTask
from rayml.tasks.task import Metric, Task
from rayml.types import TargetInfo, TaskName

GROUP = "rayml.tasks"
_OWN: Mapping[str, type[Task]] = {
    task.name: task for task in (BinaryTask, MulticlassTask, RegressionTask)
}


def task_names() -> tuple[str, ...]:
    """Names of all tasks, those of rayml first."""
    return (*_OWN, *(name for name in _installed() if name not in _OWN))


def task_type(name: TaskName) -> type[Task]:
    """The class of a task.

    Raises:
        ConfigError: there is no such task, or the one of a package cannot be used.
    """
    found = _OWN.get(name)
    return _loaded(name) if found is None else found


def build_task(
    info: TargetInfo,
    *,
    metric: str | None = None,
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> Task:
    """Make the task of a target.

    Args:
        info: the target.
        metric: name of the metric that is optimised, or `loss`; None takes the task's usual one.
        metrics: the user's own metrics by name, evaluated beside those of the task.

    Raises:
        ConfigError: there is no such task; or a metric is unknown, named twice, or has no
            direction.
    """
    return task_type(info.task)(info, metric=metric, metrics=metrics)


def outputs_of(info: TargetInfo) -> int:
    """Number of outputs of a model that predicts a target."""
    return build_task(info).outputs


def is_task(name: object) -> bool:
    """Whether there is a task of this name."""
    return name in _OWN or name in _installed()


def require_task(name: str) -> str:
    """The name, if there is such a task.

    Raises:
        ValueError: there is none, as a validator of settings has it.
    """
    if not is_task(name):
        raise ValueError(f"there is no task {name!r}; there are {', '.join(task_names())}")
    return name


KnownTask = Annotated[TaskName, AfterValidator(require_task)]
"""The name of a task in settings and stored files."""


@cache
def _installed() -> Mapping[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}


@cache
def _loaded(name: str) -> type[Task]:
    entry = _installed().get(name)
    if entry is None:
        raise ConfigError(
            f"there is no task {name!r}",
            remedy=f"Set data.task to one of {', '.join(task_names())}, or install the package"
            " that has it",
        )
    try:
        found = entry.load()
    except Exception as error:
        raise ConfigError(
            f"the task {name!r} does not import: {entry.value} ({error})",
            remedy="Mend that package, or install it again",
        ) from error
    if not (inspect.isclass(found) and issubclass(found, Task)) or inspect.isabstract(found):
        raise ConfigError(
            f"the task {name!r} is no subclass of rayml.tasks.task.Task: {entry.value}",
            remedy="Implement all its abstract methods",
        )
    if found.name != name:
        raise ConfigError(
            f"the task {name!r} names itself {found.name!r}: {entry.value}",
            remedy="Give its entry point and its attribute `name` the same name",
        )
    return found
