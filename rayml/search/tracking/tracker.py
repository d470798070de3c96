"""Records the trials of a sweep elsewhere: in event files, in an experiment database."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from rayml.errors import ConfigError
from rayml.search.problem.trials import Curve, FinishedTrial
from rayml.settings.search import TrackingSettings


class Tracker(Protocol):
    """Records finished trials in a place of its own."""

    name: str

    def log(self, trial: FinishedTrial, curve: Curve) -> None:
        """Record a trial; one that was recorded already, before a restart, stays as it is."""

    def close(self, *, finished: bool) -> None:
        """The sweep is over: it finished, or was interrupted."""


def check_tracking(settings: TrackingSettings) -> None:
    """Check what can be checked before anything is spent.

    Raises:
        ConfigError: a library is not installed.
    """
    if settings.mlflow is not None and find_spec("mlflow") is None:
        raise ConfigError(
            "MLflow is not installed, which search.tracking.mlflow needs",
            remedy="Install it with `pip install 'rayml[mlflow]'`, or set it to null",
        )


def start_trackers(settings: TrackingSettings, sweep: str, folder: Path) -> list[Tracker]:
    """The trackers that the settings ask for.

    Args:
        settings: of the tracking.
        sweep: its name.
        folder: of the sweep.

    Raises:
        ConfigError: a library is not installed, or MLflow refuses its address.
    """
    check_tracking(settings)
    trackers: list[Tracker] = []
    # Both are slow to import, and few ask for them.
    if settings.tensorboard:
        from rayml.search.tracking.tensorboard import TensorBoardTracker

        trackers.append(TensorBoardTracker(folder))
    if settings.mlflow is not None:
        from rayml.search.tracking.mlflow import MLflowTracker

        trackers.append(MLflowTracker(settings.mlflow, sweep))
    return trackers
