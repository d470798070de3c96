"""Sweeps that lose their driver, their study's process or a node, and go on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayml.errors import SearchError
from rayml.search.journal.journal import SweepJournal
from rayml.search.problem.sweep_plan import SweepPlan
from rayml.search.space.space import Space
from rayml.search.sweep import run_sweep
from rayml.settings.search import CohortSettings
from tests.integration.test_sweep import DATA, Watcher, make_plan  # noqa: F401 - a fixture
from tests.processes import command, descendants, kill, wait_until
from tests.record import assert_continued, epochs, finished, recorded
from tests.search.plans import changed

MakePlan = Callable[..., SweepPlan]


def interrupted(plan: SweepPlan, at: int) -> None:
    """Run a sweep until so many epochs are trained."""
    act = Watcher(at, lambda: os.kill(os.getpid(), 2))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, DATA, view=act)


@pytest.mark.usefixtures("ray_session")
def test_an_interrupted_sweep_goes_on(make_plan: MakePlan) -> None:  # noqa: F811
    # Four trials at a time hold less than 400 epochs, so of 450 some are those of a finished one.
    plan = make_plan(trials=8, epochs=100, concurrency=2, lanes=2)
    journal = plan.folder / "journal.log"
    interrupted(plan, 450)
    wait_until(
        lambda: not any(b"ImplicitFunc" in command(p) for p in descendants(os.getpid())),
        "the end of the workers",
    )
    before = finished(journal)
    assert 0 < len(before) < 8
    result = run_sweep(changed(plan, resume=True), DATA)
    assert_continued(journal, before, 8)
    assert result.best.value == max(trial.value for trial in recorded(journal))  # type: ignore[type-var]
    assert result.progress.epochs == sum(map(epochs, recorded(journal))) == 800
    params = [trial.params["train.optimizer.lr"] for trial in recorded(journal)]
    assert len(set(params)) == 8


@pytest.mark.usefixtures("ray_session")
def test_a_killed_study_goes_on_by_itself(make_plan: MakePlan) -> None:  # noqa: F811
    plan = make_plan(trials=4, epochs=300, concurrency=1)
    journal = plan.folder / "journal.log"
    seen: list[int] = []

    def kill_study() -> None:
        [pid] = [p for p in descendants(os.getpid()) if b"_HostedStudy" in command(p)]
        seen.append(pid)
        kill([pid])

    result = run_sweep(plan, DATA, view=Watcher(350, kill_study))
    assert seen
    assert_continued(journal, {}, 4)
    assert result.progress.complete == 4
    assert all(epochs(trial) == 300 for trial in recorded(journal))
    # No worker died, so none had to go back to a checkpoint.
    assert result.progress.restarts == 0


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_a_study_that_cannot_be_opened_again_names_the_way_on(
    make_plan: MakePlan,  # noqa: F811
) -> None:
    plan = make_plan(trials=4, epochs=300, concurrency=1, max_failures=0)
    journal = plan.folder / "journal.log"

    def damage_and_kill() -> None:
        [pid] = [p for p in descendants(os.getpid()) if b"_HostedStudy" in command(p)]
        kill([pid])
        content = journal.read_bytes()
        journal.write_bytes(b"x" + content)

    with pytest.raises(SearchError, match=rf"line 1 of .* is damaged.*resume={plan.name}"):
        run_sweep(plan, DATA, view=Watcher(20, damage_and_kill))
    journal.write_bytes(journal.read_bytes()[1:])
    run_sweep(changed(plan, resume=True), DATA)
    assert_continued(journal, {}, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_two_drivers_cannot_go_on_with_one_sweep(
    make_plan: MakePlan,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(trials=2, epochs=1)
    plan.folder.mkdir(parents=True)
    other = SweepJournal(plan.folder / "journal.log")
    with pytest.raises(SearchError, match="another process writes"):
        run_sweep(changed(plan, resume=True), DATA)
    other.close()
    # Nothing was written: the other one was killed before it could.
    run_sweep(changed(plan, resume=True), DATA)
    assert_continued(plan.folder / "journal.log", {}, 2)


NODES = """
import dataclasses, logging, pickle, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster

plan, data = pickle.loads(Path(sys.argv[1]).read_bytes())
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
from rayml.search.sweep import run_sweep
from tests.processes import descendants, kill


class Killer:
    def update(self, progress):
        if len(nodes) == 2 and progress.running == 2 and progress.epochs >= 20:
            node = nodes.pop()
            (raylet,) = node.all_processes["raylet"]
            kill(descendants(raylet.process.pid))
            cluster.remove_node(node, allow_graceful=False)
            Path(plan.trial["model"]["gate"]).touch()

    def close(self):
        assert len(nodes) == 1


result = run_sweep(plan, data, view=Killer())
Path(sys.argv[2]).write_text(f"{result.progress.restarts} {len(nodes)}")
ray.shutdown()
cluster.shutdown()
"""


def test_a_killed_node_costs_at_most_one_epoch(make_plan: MakePlan, tmp_path: Path) -> None:  # noqa: F811
    import pickle

    # One on each node, and a third one that waits.
    plan = make_plan(trials=3, epochs=200, cohort=CohortSettings(lanes=1))
    # The trials are under way when the node is killed: some 30 epochs in, they wait for it.
    gated = {
        "_target_": "tests.paced_model.Gated",
        "gate": str(tmp_path / "gate"),
        "passes": 200,
    }
    plan = changed(plan, trial={**plan.trial, "model": gated})
    (tmp_path / "plan").write_bytes(pickle.dumps((plan, DATA)))
    fast = {
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_timeout_ms": "5000",
        "RAY_health_check_failure_threshold": "4",
    }
    # Ray notes a running cluster in this folder, and others would join it. Its path is short, as
    # those of sockets must be.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", NODES, str(tmp_path / "plan"), str(tmp_path / "told")],
            env={**os.environ, **fast, "RAY_TMPDIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told").read_text() == "1 1"
    assert_continued(plan.folder / "journal.log", {}, 3)
    assert all(epochs(trial) == 200 for trial in recorded(plan.folder / "journal.log"))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_a_sweep_is_written_to_a_database_too(make_plan: MakePlan, tmp_path: Path) -> None:  # noqa: F811
    import optuna

    url = f"sqlite:///{tmp_path / 'studies.db'}"
    plan = make_plan(trials=3, epochs=100, concurrency=1, storage=url)
    interrupted(plan, 150)
    run_sweep(changed(plan, resume=True), DATA)
    shared = optuna.load_study(study_name=plan.name, storage=url).trials
    own = recorded(plan.folder / "journal.log")
    assert [described(trial) for trial in shared] == [described(trial) for trial in own]
    with pytest.raises(SearchError, match="of another sweep"):
        run_sweep(changed(plan, sweeps=tmp_path / "others"), DATA)


def described(trial: Any) -> tuple[Any, ...]:
    return (
        trial.number,
        trial.state,
        trial.value,
        trial.params,
        trial.intermediate_values,
        trial.user_attrs,
    )


@pytest.mark.usefixtures("ray_session")
def test_a_finished_sweep_is_extended_in_another_space(make_plan: MakePlan) -> None:  # noqa: F811
    plan = make_plan(trials=3)
    journal = plan.folder / "journal.log"
    first = run_sweep(plan, DATA)
    before = finished(journal)
    width = {"type": "categorical", "choices": [8, 16]}
    lr = {"type": "float", "low": 1e-2, "high": 1.0, "log": True}
    space = Space.parse({"model": {"width": width}, "train": {"optimizer": {"lr": lr}}})
    result = run_sweep(changed(plan, resume=True, trials=5, space=space), DATA)
    assert_continued(journal, before, 5)
    assert [len(trial.params) for trial in recorded(journal)] == [1, 1, 1, 2, 2]
    assert result.best.value is not None
    assert first.best.value is not None
    assert result.best.value >= first.best.value
    assert result.weights.is_file()


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_starts_from_the_history_of_others(make_plan: MakePlan) -> None:  # noqa: F811
    first = make_plan(trials=4, name="first")
    best = run_sweep(first, DATA).best
    second = make_plan(trials=2, name="second", warm_start=(first.folder,))
    result = run_sweep(second, DATA)
    [again, _] = recorded(second.folder / "journal.log")
    assert again.params == best.params
    assert result.progress.done == 2
