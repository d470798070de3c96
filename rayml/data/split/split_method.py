"""Chooses how rows are split if the settings do not say."""

from __future__ import annotations

from dataclasses import replace

from rayml.data.columns.split_names import SPLIT
from rayml.errors import ConfigError
from rayml.settings.data import SplitSettings
from rayml.tasks.table import task_type
from rayml.types import TaskName


def choose_method(settings: SplitSettings, task: TaskName, *, given: bool = False) -> SplitSettings:
    """The settings with a method that is not `auto`.

    A source that gives the splits itself is split as it says. Else classes are drawn by class, so
    that a rare one is in each split, and rows with a number as target without regard to it.

    Args:
        settings: whose method may be `auto`.
        task: what is predicted.
        given: whether the source gives the splits, in a column `split`.

    Raises:
        ConfigError: the settings would mix the splits that a source gives.
    """
    if given:
        return _given(settings)
    if settings.method != "auto":
        return settings
    return replace(settings, method="stratified" if task_type(task).has_classes else "random")


def _given(settings: SplitSettings) -> SplitSettings:
    if settings.method not in ("auto", "given") or settings.column not in (None, SPLIT):
        column = f" by column {settings.column!r}" if settings.column else ""
        raise ConfigError(
            f"data.source.paths names files for train and test, and data.split.method="
            f"{settings.method}{column} would mix their rows",
            remedy="Leave data.split.method and data.split.column out, or list the files in"
            " data.source.paths without naming their splits",
        )
    return replace(settings, method="given", column=SPLIT)
