"""MLflow's store holds a run for each trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.errors import ConfigError
from rayml.search.problem.trials import Curve, FinishedTrial

pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
# Of MLflow's own models, with the newest SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

GOOD = FinishedTrial(3, {"lr": 0.1, "norm": None}, "COMPLETE", 0.75, 2, 2, "")
PRUNED = FinishedTrial(4, {"lr": 0.2, "norm": "x"}, "PRUNED", 0.5, 1, 1, "rank 2 of 2")
BAD = FinishedTrial(5, {"lr": 9.0, "norm": "x"}, "FAIL", None, None, 0, "ValueError: no")
CURVE: Curve = {1: {"accuracy": 0.5, "auroc": None}, 2: {"accuracy": 0.75, "auroc": 0.875}}


def test_one_run_a_trial_under_that_of_the_sweep(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from rayml.search.tracking.mlflow import MLflowTracker

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = MLflowTracker(uri, "adult-1")
    tracker.log(GOOD, CURVE)
    tracker.log(PRUNED, {1: {"accuracy": 0.5}})
    tracker.close(finished=False)
    # The sweep is resumed: its trials come again, and a new one.
    tracker = MLflowTracker(uri, "adult-1")
    for trial in (GOOD, PRUNED, BAD):
        tracker.log(trial, {})
    tracker.close(finished=True)
    other = MLflowTracker(uri, "adult-2")
    other.close(finished=False)

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("rayml")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    named = {run.info.run_name: run for run in runs}
    assert len(runs) == len(named) == 5
    sweep = named["adult-1"]
    assert (sweep.info.status, named["adult-2"].info.status) == ("FINISHED", "KILLED")
    children = [named[f"trial {number}"] for number in (3, 4, 5)]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {sweep.info.run_id}
    assert [run.info.status for run in children] == ["FINISHED", "FINISHED", "FAILED"]
    states = [run.data.tags["rayml.state"] for run in children]
    assert states == ["COMPLETE", "PRUNED", "FAIL"]
    assert children[0].data.params == {"lr": "0.1", "norm": "null"}
    assert children[0].data.metrics == {"accuracy": 0.75, "auroc": 0.875, "best_value": 0.75}
    assert children[2].data.tags["rayml.reason"] == "ValueError: no"
    history = client.get_metric_history(children[0].info.run_id, "accuracy")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.75)]


def test_an_address_that_is_no_store() -> None:
    from rayml.search.tracking.mlflow import MLflowTracker

    with pytest.raises(ConfigError, match=r"search\.tracking\.mlflow"):
        MLflowTracker("gopher://nowhere", "s")
