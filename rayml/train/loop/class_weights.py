"""What the setting `train.class_weights` means for the rows at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from rayml.errors import ConfigError
from rayml.models.estimators.estimator import Estimator
from rayml.settings.train import TrainSettings
from rayml.tasks.class_task import class_key
from rayml.tasks.task import Task
from rayml.train.loop.streaming import ParquetSplit
from rayml.types import Examples, TargetInfo

Given = Literal["balanced"] | Mapping[str, float]
AnyTask = TypeVar("AnyTask", bound=Task)

KEY = "train.class_weights"


def weighed(task: AnyTask, settings: TrainSettings, train: Examples | ParquetSplit) -> AnyTask:
    """The task whose training loss weighs classes as the settings say.

    Args:
        task: of the trial.
        settings: of the trial.
        train: rows that train, those of all folds together.

    Raises:
        ConfigError: the task has no classes to weigh, or the weights name others.
    """
    given = settings.class_weights
    if given is None:
        return task
    require_weighable(given, task.info)
    if task.likelihood is None:
        raise ConfigError(
            f"{KEY} cannot weigh the loss of the task {task.name!r}, which is its own",
            remedy=f"Remove {KEY}",
        )
    classes = len(task.info.classes)
    counts = np.zeros(classes)
    for target in _targets(train):
        counts += np.bincount(target, minlength=classes)
    return task.weighing(weights_of(given, task.info, counts))


def require_read(settings: TrainSettings, estimator: type[Estimator]) -> None:
    """Refuse class weights where an estimator would ignore them.

    Raises:
        ConfigError: it does.
    """
    if settings.class_weights is not None and "class_weights" not in estimator.reads:
        raise ConfigError(
            f"{KEY} is set, and {estimator.__name__} does not read it",
            remedy="Remove it, or choose another model",
        )


def require_weighable(given: Given, target: TargetInfo) -> None:
    """Check that rows of a target can be weighed so.

    Raises:
        ConfigError: the target has no classes, or the weights name others.
    """
    if not target.classes:
        raise ConfigError(
            f"{KEY} weighs classes, and {target.name!r} is a number", remedy=f"Remove {KEY}"
        )
    if not isinstance(given, str):
        for label in given:
            _code(label, target)


def weights_of(
    given: Given, target: TargetInfo, counts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How much a row of each class counts, with a mean of 1 over the rows.

    Args:
        given: `balanced` has all classes count alike; or weights by label, of others 1.
        target: that has the classes.
        counts: rows of each class.
    """
    if isinstance(given, str):
        weights = 1 / np.maximum(counts, 1)
    else:
        weights = np.ones(len(counts))
        for label, weight in given.items():
            weights[_code(label, target)] = weight
    found: npt.NDArray[np.float64] = weights * (counts.sum() / (weights * counts).sum())
    return found


def _code(label: str, target: TargetInfo) -> int:
    """Place of the class that a config names, which may write it as `True` or `true`."""
    keys = [class_key(each) for each in target.classes]
    if label in keys:
        return keys.index(label)
    lowered = [key.lower() for key in keys]
    if lowered.count(label.lower()) == 1:
        return lowered.index(label.lower())
    raise ConfigError(
        f"{KEY} names a class that {target.name!r} does not have",
        found=label,
        remedy=f"The classes are: {', '.join(keys[:20])}{', …' if len(keys) > 20 else ''}",
    )


def _targets(train: Examples | ParquetSplit) -> Iterator[npt.NDArray[np.int64]]:
    if isinstance(train, Examples):
        yield train.target
        return
    for part in train.parts():
        yield part.target
