"""`kill -9` of a sweep's driver, and of everything that it started, or Ctrl-C; then `resume`."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.trial import TrialState

from tests.e2e.command import Rayml, environment
from tests.processes import command, descendants, kill, wait_until
from tests.record import assert_continued, epochs, finished, recorded

TRIALS, EPOCHS = 5, 200
SWEEP = (
    "sweep",
    "search=random",
    "search.name=killed",
    f"search.trials={TRIALS}",
    "search.concurrency=2",
    f"train.epochs={EPOCHS}",
    "space=none",
    "confirm=none",
    "+space.train.optimizer.lr={type: float, low: 0.0001, high: 0.01, log: true}",
)


@contextmanager
def sweeping(home: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep in the middle of a trial, when others have finished; with more arguments."""
    journal = home / "runs/sweeps/killed/journal.log"

    def is_busy() -> bool:
        assert driver.poll() is None, (home / "output").read_text()
        trials = recorded(journal)
        running = [each for each in trials if each.state == TrialState.RUNNING]
        return len(running) < len(trials) and any(epochs(each) >= 10 for each in running)

    with (
        (home / "output").open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "rayml", *SWEEP, *more],
            cwd=home,
            env=environment(home),
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as driver,
    ):
        try:
            wait_until(is_busy, "a trial has finished and another one is under way")
            yield driver
        finally:
            kill([driver.pid])


def test_a_killed_driver_loses_nothing(tmp_path: Path, rayml: Rayml) -> None:
    journal = tmp_path / "runs/sweeps/killed/journal.log"
    with sweeping(tmp_path) as driver:
        started = {pid: command(pid) for pid in descendants(driver.pid)}
        kill([driver.pid])
        driver.wait()
        # At once: what the driver left behind may still run.
        done = rayml(tmp_path, "sweep", "resume=killed")
    before = finished(journal)
    assert_continued(journal, {}, TRIALS)
    # Cohorts go on for the seconds that Ray takes to notice, on a fast machine to the end.
    ends = f"[{TRIALS}/{TRIALS}]", f"sweep killed is finished: {TRIALS} trials"
    assert any(end in done.stdout for end in ends)
    wait_until(
        lambda: all(command(pid) != line for pid, line in started.items() if line),
        "Ray's processes have ended by themselves",
    )
    again = rayml(tmp_path, "sweep", "resume=killed")
    assert f"sweep killed is finished: {TRIALS} trials" in again.stdout
    assert finished(journal) == before


def test_everything_killed_at_once_loses_nothing(tmp_path: Path, rayml: Rayml) -> None:
    journal = tmp_path / "runs/sweeps/killed/journal.log"
    with sweeping(tmp_path) as driver:
        kill([driver.pid, *descendants(driver.pid)])
        driver.wait()
    before = finished(journal)
    left = [trial for trial in recorded(journal) if not trial.state.is_finished()]
    with journal.open("ab") as file:
        file.write(b'{"op_code":7,"trial_id":')
    done = rayml(tmp_path, "sweep", "resume=killed")
    assert f"{len(before)} of {TRIALS} trials are finished, {len(left)} continue" in done.stdout
    assert "an unfinished line of 24 bytes" in done.stdout
    assert journal.with_name("journal.log.torn").read_bytes() == b'{"op_code":7,"trial_id":\n'
    assert_continued(journal, before, TRIALS)
    after = recorded(journal)
    values = [trial.value for trial in after if trial.value is not None]
    assert (
        f"│    1 │ {max(after, key=lambda each: each.value or 0).number:>5} │" in done.stdout
        or (values.count(max(values)) > 1)
    )
    for trial in left:
        assert epochs(after[trial.number]) == EPOCHS
        assert all(
            after[trial.number].intermediate_values[step] == value
            for step, value in trial.intermediate_values.items()
        )
    leaderboard = rayml(tmp_path, "report", "killed").stdout
    assert f"of {TRIALS} trials" in leaderboard


def test_an_interrupted_sweep_says_how_to_go_on_and_does(tmp_path: Path, rayml: Rayml) -> None:
    with sweeping(tmp_path) as driver:
        driver.send_signal(signal.SIGINT)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=120) == 130
    said = (tmp_path / "output").read_text()
    assert "Traceback" not in said
    (command_line,) = re.findall(r"sweep killed is not finished; continue with `(.*)`", said)
    _, *words = shlex.split(command_line)
    before = finished(tmp_path / "runs/sweeps/killed/journal.log")
    rayml(tmp_path, *words)
    assert_continued(tmp_path / "runs/sweeps/killed/journal.log", before, TRIALS)
