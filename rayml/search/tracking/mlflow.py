"""MLflow: one run a trial, nested under one run of the sweep."""

from __future__ import annotations

import json
import logging
import os
import time

# MLflow reports its use to its makers unless this is set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from rayml.config.secrets import masked
from rayml.errors import ConfigError
from rayml.search.problem.trials import Curve, FinishedTrial

EXPERIMENT = "rayml"
SWEEP = "rayml.sweep"
TRIAL = "rayml.trial"
STATE = "rayml.state"
REASON = "rayml.reason"
BEST = "best_value"
# What a server takes in one call.
_METRICS = 1000
_TEXT = 5000
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}


class MLflowTracker:
    """Keeps a sweep in the experiment `rayml` of an MLflow tracking store.

    Args:
        uri: of the store: a database URL, or a server's address.
        sweep: its name; the run of an earlier start of the same sweep is continued.

    Raises:
        ConfigError: the store cannot be used.
    """

    name = "MLflow"

    def __init__(self, uri: str, sweep: str) -> None:
        # It logs each table that it makes.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment = self._find_experiment()
            self._parent = self._find_parent(sweep)
            self._known = {run.data.tags.get(TRIAL) for run in self._children()}
        except (MlflowException, OSError) as error:
            raise ConfigError(
                "the store of search.tracking.mlflow cannot be used"
                f" ({masked(_first_line(error))})",
                found=masked(uri),
                remedy="Name a database such as sqlite:///mlflow.db or a server that answers",
            ) from error

    def log(self, trial: FinishedTrial, curve: Curve) -> None:
        """Make the run of a trial, with its parameters, curves and state."""
        if str(trial.number) in self._known:
            return
        tags = {MLFLOW_PARENT_RUN_ID: self._parent, TRIAL: str(trial.number), STATE: trial.state}
        if trial.reason:
            tags[REASON] = trial.reason[:_TEXT]
        run = self._client.create_run(
            self._experiment, run_name=f"trial {trial.number}", tags=tags
        ).info.run_id
        params = [Param(key, _text(value)) for key, value in trial.params.items()]
        self._client.log_batch(run, params=params)
        metrics = _metrics(trial, curve)
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + _METRICS])
        self._client.set_terminated(run, _STATUS[trial.state])
        self._known.add(str(trial.number))

    def close(self, *, finished: bool) -> None:
        """End the run of the sweep."""
        trials = RunTag("rayml.trials", str(len(self._known)))
        self._client.log_batch(self._parent, tags=[trials])
        self._client.set_terminated(self._parent, "FINISHED" if finished else "KILLED")

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id if found else self._client.create_experiment(EXPERIMENT))

    def _find_parent(self, sweep: str) -> str:
        for run in self._client.search_runs([self._experiment], f"tags.`{SWEEP}` = '{sweep}'"):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        made = self._client.create_run(self._experiment, run_name=sweep, tags={SWEEP: sweep})
        return str(made.info.run_id)

    def _children(self) -> list[Run]:
        where = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self._parent}'"
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], where, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def _metrics(trial: FinishedTrial, curve: Curve) -> list[Metric]:
    now = int(1000 * time.time())
    metrics = [
        Metric(name, value, now, epoch)
        for epoch, measured in curve.items()
        for name, value in measured.items()
        if value is not None
    ]
    if trial.value is not None:
        metrics.append(Metric(BEST, trial.value, now, trial.epoch or 0))
    return metrics


def _text(value: object) -> str:
    return value[:_TEXT] if isinstance(value, str) else json.dumps(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
