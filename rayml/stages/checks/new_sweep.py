"""Checks the name of a new sweep, and the sweeps that it starts from, before anything is spent."""

from __future__ import annotations

from pathlib import Path

from rayml.config.schema import Config
from rayml.errors import RaymlError
from rayml.search.sampling.warm_start import require_comparable
from rayml.search.study.claim import require_free
from rayml.stages.commands.sweep_folder import find_sweep
from rayml.tasks.table import task_type


def new_sweep_problems(config: Config) -> list[str]:
    """Problems of a new sweep: its name is taken, or one it starts from has another metric."""
    problems, sweeps = [], Path(config.paths.sweeps)
    if config.search.name is not None:
        try:
            require_free(sweeps / config.search.name, resume=False)
        except RaymlError as error:
            problems.append(f"search.name: {error}")
    task = task_type(config.data.task)
    metric = config.task.metric or task.default_metric
    # Of a metric of the user's own the direction is known to its code alone.
    direction = task.directions.get(metric)
    for name in config.search.warm_start:
        try:
            require_comparable(find_sweep(sweeps, name), metric, direction)
        except RaymlError as error:
            problems.append(f"search.warm_start: {error}")
    return problems
