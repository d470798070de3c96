"""Chooses how rows are split where the settings leave it open."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rayml.data.columns.split_names import SPLIT
from rayml.errors import ConfigError
from rayml.types import SplitSettings, TaskName

if TYPE_CHECKING:
    from rayml.data.sources.sources import Source


def choose_method(
    settings: SplitSettings, task: TaskName, source: Source | None = None
) -> SplitSettings:
    """The settings with a method that is not `auto`.

    A source that gives the splits itself is split as it says. Else classes are drawn by class, so
    that a rare one is in each split, and rows of a regression without regard to the target.

    Raises:
        ConfigError: the settings would mix the splits that a source gives.
    """
    if getattr(source, "gives_splits", False):
        return _given(settings)
    if settings.method != "auto":
        return settings
    return replace(settings, method="random" if task == "regression" else "stratified")


def _given(settings: SplitSettings) -> SplitSettings:
    if settings.method not in ("auto", "given") or settings.column not in (None, SPLIT):
        column = f" by column {settings.column!r}" if settings.column else ""
        raise ConfigError(
            f"source.paths names files for train and test, and split.method={settings.method}"
            f"{column} would mix their rows; leave data.split.method and data.split.column out, or "
            "list the files in data.source.paths without naming their splits"
        )
    return replace(settings, method="given", column=SPLIT)
