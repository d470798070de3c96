"""Whole sweeps on a local Ray: workers, failures, deaths, interrupts."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from optuna.trial import TrialState
from safetensors.numpy import load_file

from rayml.errors import ConfigError, SearchError
from rayml.search.cohort.plan import CohortPlan, SweepData
from rayml.search.cohort.sequential import train_trial
from rayml.search.journal.journal import read_study
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.problem.trials import Progress
from rayml.search.report.tables import write_tables
from rayml.search.space.space import Space
from rayml.search.study.study_actor import start_study
from rayml.search.sweep import SweepResult, run_sweep
from rayml.settings.search import (
    PrunerSettings,
    ResourceSettings,
    SamplerSettings,
    TrackingSettings,
)
from rayml.settings.train import TrainSettings
from rayml.tasks.objectives import Objective
from rayml.types import Examples, Features, FeatureShape, TargetInfo
from tests.processes import command, descendants
from tests.search.plans import changed, study_plan, sweep_plan

pytestmark = pytest.mark.usefixtures("ray_session")

LR = {"type": "float", "low": 1e-3, "high": 1e-1, "log": True}


def examples(rows: int, seed: int) -> Examples:
    numeric = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    target = (numeric[:, 0] + numeric[:, 1] > 0).astype(np.int64)
    return Examples(Features(numeric, np.zeros((rows, 0), np.int64)), target)


DATA = SweepData(
    examples(300, 0),
    examples(100, 1),
    FeatureShape(4),
    TargetInfo("y", "binary", ("no", "yes")),
)


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., SweepPlan]:
    def make(*, tree: dict[str, Any] | None = None, epochs: int = 3, **changes: Any) -> SweepPlan:
        plan: dict[str, Any] = {
            "name": tmp_path.name,
            "sweeps": tmp_path / "sweeps",
            "trial": {
                "model": {
                    "_target_": "rayml.models.nets.mlp.MLP",
                    "width": 16,
                    "depth": 1,
                    "dropout": 0.1,
                },
                "task": {"metric": None, "metrics": {}},
                "train": dataclasses.asdict(TrainSettings(epochs=epochs, batch_size=64)),
            },
            "space": Space.parse(tree or {"train": {"optimizer": {"lr": LR}}}),
            "trials": 6,
            "sampler": SamplerSettings(name="random"),
            "pruner": PrunerSettings(name="none"),
        }
        return sweep_plan(**(plan | changes))

    return make


class Watcher:
    """Looks on, and acts once when a trial has trained for some epochs."""

    def __init__(self, epochs: int, act: Callable[[], None]) -> None:
        self._epochs = epochs
        self._act: Callable[[], None] | None = act

    def update(self, progress: Progress) -> None:
        if self._act is not None and progress.epochs >= self._epochs:
            act, self._act = self._act, None
            act()

    def close(self) -> None:
        assert self._act is None


def kill_worker() -> None:
    """SIGKILL the one process of this test's own Ray that trains a cohort."""
    [worker] = [pid for pid in descendants(os.getpid()) if b"ImplicitFunc" in command(pid)]
    os.kill(worker, signal.SIGKILL)


def states(result: SweepResult) -> list[str]:
    return [trial.state.name for trial in read_study(result.folder / "journal.log").trials]


def test_a_sweep_ends_with_its_best_trial(make_plan: Callable[..., SweepPlan]) -> None:
    pruner = PrunerSettings(name="asha", reduction=2)
    plan = make_plan(trials=8, epochs=4, pruner=pruner)
    result = run_sweep(plan, DATA)
    trials = read_study(result.folder / "journal.log").trials
    assert len(trials) == 8
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    best = max(trial.value for trial in trials if trial.state == TrialState.COMPLETE)  # type: ignore[type-var]
    assert result.best.value == best
    assert trials[result.best.number].value == best
    assert result.best.params == trials[result.best.number].params
    cohorts = {trial.system_attrs["cohort"] for trial in trials}
    # Half of the trials look at new structures one by one, the others join in cohorts of four.
    assert 2 <= len(cohorts) <= 8
    assert len({trial.user_attrs["tune_trial"] for trial in trials}) == len(cohorts)
    for trial in trials:
        # Trials that trained for all epochs are complete, whatever the last rung says.
        assert (len(trial.intermediate_values) == 4) == (trial.state == TrialState.COMPLETE)
        assert len(trial.system_attrs["epoch:1"]) > 5
    weights = load_file(result.weights)
    assert weights["head.weight"].shape == (1, 16)
    assert result.progress.running == 0
    assert result.progress.done == 8
    assert set(result.timings) == {"first_epoch", "total", "train", "eval", "idle"}
    assert json.loads((result.folder / "timings.json").read_text()) == result.timings
    assert Space.parse(json.loads((result.folder / "space.json").read_text())) == plan.space


def test_everything_lies_in_one_folder_and_nothing_is_pickled(
    make_plan: Callable[..., SweepPlan],
) -> None:
    result = run_sweep(make_plan(trials=2), DATA)
    write_tables(result.folder)
    found = {p.relative_to(result.folder).as_posix() for p in result.folder.rglob("*.*")}
    assert found == {
        "journal.log",
        "space.json",
        "timings.json",
        "trials/0/best.safetensors",
        "trials/1/best.safetensors",
        "report/trials.parquet",
        "report/curves.parquet",
    }


def test_failures_have_their_reasons_and_the_sweep_goes_on(
    make_plan: Callable[..., SweepPlan],
) -> None:
    tree = {
        "model": {"dropout": {"type": "categorical", "choices": [0.1, 7.0]}},
        "train": {"optimizer": {"lr": {"type": "categorical", "choices": [0.01, 1e30]}}},
    }
    result = run_sweep(make_plan(tree=tree, sampler=SamplerSettings(name="grid")), DATA)
    trials = read_study(result.folder / "journal.log").trials
    assert len(trials) == 4
    for trial in trials:
        reason = trial.user_attrs.get("reason", "")
        if trial.params["model.dropout"] == 7.0:
            assert trial.state == TrialState.FAIL
            assert "7.0" in reason
            assert ".py:" in reason
        elif trial.params["train.optimizer.lr"] == 1e30:
            assert trial.state == TrialState.FAIL
            assert reason.startswith("DivergedError: ")
        else:
            assert trial.state == TrialState.COMPLETE
            assert result.best.number == trial.number
    assert (result.progress.complete, result.progress.failed) == (1, 3)


def test_when_all_trials_fail_the_commonest_reason_is_told(
    make_plan: Callable[..., SweepPlan],
) -> None:
    tree = {
        "model": {"dropout": {"type": "categorical", "choices": [7.0]}},
        "train": {"optimizer": {"lr": {"type": "categorical", "choices": [0.1, 0.2]}}},
    }
    with pytest.raises(
        SearchError, match=r"all 2 trials failed, 2 of them for this reason: .*7\.0"
    ):
        run_sweep(make_plan(tree=tree, trials=2), DATA)


@pytest.mark.slow
def test_a_dead_worker_costs_at_most_one_epoch(make_plan: Callable[..., SweepPlan]) -> None:
    plan = make_plan(trials=2, epochs=800, concurrency=1, max_failures=1)
    result = run_sweep(plan, DATA, view=Watcher(20, kill_worker))
    first, second = read_study(result.folder / "journal.log").trials
    [restart] = first.user_attrs["restarts"]
    assert restart["reported"] >= 20
    assert 0 <= restart["reported"] - restart["checkpoint"] <= 1
    assert first.state == second.state == TrialState.COMPLETE
    assert sorted(first.intermediate_values) == list(range(1, 801))
    assert "restarts" not in second.user_attrs
    assert (result.progress.complete, result.progress.restarts) == (2, 1)


def test_a_worker_that_died_after_its_trial_ended_does_not_train_it_again(
    make_plan: Callable[..., SweepPlan],
) -> None:
    plan = make_plan()
    plan.folder.mkdir(parents=True)
    study = start_study(
        study_plan(
            name=plan.name,
            journal=plan.folder / "journal.log",
            space=plan.space,
            trial=plan.trial,
            metric="accuracy",
            direction="maximize",
            trials=1,
            max_epochs=3,
            started=time.time(),
        )
    )
    cohort = CohortPlan(
        trial=plan.trial,
        objective=Objective("accuracy", "maximize"),
        space=plan.space,
        trials=plan.folder,
        cohorts=plan.folder / "cohorts",
    )
    try:
        [asked] = ray.get(study.ask.remote())
        train_trial(asked, cohort, DATA, study)
        weights = plan.folder / str(asked.number) / "best.safetensors"
        assert "head.weight" in load_file(weights)
        weights.write_bytes(b"those of the best epoch")
        train_trial(asked, cohort, DATA, study)
    finally:
        ray.kill(study)
    assert weights.read_bytes() == b"those of the best epoch"
    [trial] = read_study(plan.folder / "journal.log").trials
    assert trial.state == TrialState.COMPLETE
    assert len(trial.intermediate_values) == 3


@pytest.mark.slow
def test_a_worker_that_dies_too_often_fails_its_trial(
    make_plan: Callable[..., SweepPlan],
) -> None:
    plan = make_plan(trials=2, epochs=800, concurrency=1, max_failures=0)
    result = run_sweep(plan, DATA, view=Watcher(5, kill_worker))
    assert states(result) == ["FAIL", "COMPLETE"]
    reason = read_study(result.folder / "journal.log").trials[0].user_attrs["reason"]
    assert reason.startswith("its worker died, 1 in all: ")
    assert "worker process has died" in reason
    assert result.best.number == 1


def test_an_interrupt_keeps_what_finished(make_plan: Callable[..., SweepPlan]) -> None:
    plan = make_plan(trials=50, epochs=100, concurrency=1, lanes=1)
    before = signal.getsignal(signal.SIGINT)
    interrupt = Watcher(150, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, DATA, view=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    trials = read_study(plan.folder / "journal.log").trials
    assert trials[0].state == TrialState.COMPLETE
    assert len(trials) < 50
    assert (plan.folder / "trials" / "0" / "best.safetensors").is_file()
    assert not list(plan.folder.rglob("*.pkl"))
    with pytest.raises(ValueError, match="study-"):
        ray.get_actor(f"study-{plan.name}", namespace="rayml")


def test_a_sweep_that_loses_its_study_says_so(make_plan: Callable[..., SweepPlan]) -> None:
    plan = make_plan(trials=50, epochs=100, concurrency=1, max_failures=0, lanes=1)

    def kill_study() -> None:
        ray.kill(ray.get_actor(f"study-{plan.name}", namespace="rayml"))

    with pytest.raises(
        SearchError,
        match=r"the process of the study .* died.*journal\.log; go on with `rayml sweep resume=",
    ):
        run_sweep(plan, DATA, view=Watcher(150, kill_study))
    assert read_study(plan.folder / "journal.log").trials[0].state == TrialState.COMPLETE


def test_trials_are_tracked_while_a_sweep_runs(make_plan: Callable[..., SweepPlan]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = make_plan(trials=3, tracking=TrackingSettings(tensorboard=True))
    result = run_sweep(plan, DATA)
    folders = sorted((plan.folder / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == [f"trial-{n:05}" for n in range(3)]
    events = EventAccumulator(str(folders[result.best.number]))
    events.Reload()
    curve = [point.value for point in events.Scalars("accuracy")]
    assert len(curve) == 3
    assert max(curve) == pytest.approx(result.best.value)
    assert len(events.Scalars("train_loss")) == 3


def test_a_trial_that_fits_nowhere(make_plan: Callable[..., SweepPlan]) -> None:
    plan = make_plan(resources=ResourceSettings(cpu=64))
    with pytest.raises(ConfigError, match="and the cluster has"):
        run_sweep(plan, DATA)
    assert not plan.folder.exists()


DRIVER = """
import logging, pickle, sys
from pathlib import Path
import ray
plan, data = pickle.loads(Path(sys.argv[1]).read_bytes())
ray.init(sys.argv[2], log_to_driver=False, logging_level=logging.ERROR)
from rayml.search.results.progress import choose_view
from rayml.search.sweep import run_sweep
run_sweep(plan, data, view=choose_view("accuracy"))
print([name for name in ("torch", "tensorboardX") if name in sys.modules])
"""


@pytest.mark.slow
def test_a_driver_shows_trials_alone_and_imports_no_pytorch(
    make_plan: Callable[..., SweepPlan], tmp_path: Path
) -> None:
    import pickle

    (tmp_path / "plan").write_bytes(pickle.dumps((make_plan(trials=2), DATA)))
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "plan"), address],
        capture_output=True,
        text=True,
        check=False,
    )
    # A slow machine may see a line of progress before the first trial has finished.
    lines = [line for line in done.stdout.splitlines() if " alive, " not in line]
    assert len(lines) == 3, done.stdout + done.stderr
    assert all("finished after 3 epochs, accuracy" in line for line in lines[:2])
    assert lines[2] == "[]"
    assert done.stderr == ""


def test_a_dead_worker_costs_each_lane_at_most_one_epoch(
    make_plan: Callable[..., SweepPlan],
) -> None:
    plan = make_plan(trials=16, epochs=200, concurrency=1, max_failures=1, lanes=4)
    result = run_sweep(plan, DATA, view=Watcher(100, kill_worker))
    trials = read_study(result.folder / "journal.log").trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    restarts = [r for trial in trials for r in trial.user_attrs.get("restarts", [])]
    assert len(restarts) == 4
    for restart in restarts:
        assert restart["checkpoint"] > 0
        assert 0 <= restart["reported"] - restart["checkpoint"] <= 1
    for trial in trials:
        assert sorted(trial.intermediate_values) == list(range(1, 201))
    assert not (result.folder / "cohorts" / "0").exists()


@pytest.mark.parametrize(
    ("own", "reason"),
    [({"alone": True}, ""), ({"stacked_delay": 0.02}, "a cohort of their structure holds one")],
    ids=["which vmap refuses", "which trains faster by itself"],
)
def test_a_model_that_cannot_be_stacked_trains_alone(
    make_plan: Callable[..., SweepPlan], own: dict[str, Any], reason: str
) -> None:
    plan = make_plan(trials=16, concurrency=1)  # cohorts of four
    model = {"_target_": "tests.integration.slow_model.Slow", "width": 8, "dropout": 0.1}
    trial = {**plan.trial, "model": {**model, **own}}
    result = run_sweep(changed(plan, trial=trial), DATA)
    assert states(result) == ["COMPLETE"] * 16
    [note] = [each for each in result.progress.notes if "alone" in each]
    assert note.startswith(f"trials train alone: {reason}")
