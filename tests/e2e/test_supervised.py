"""`kill -9` of what runs `rayml serve`: nobody notices, or nothing is left. Each request counts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from rayml.registry.store import Registry
from rayml.storage.temporary import shared_folder
from rayml.testing.arrivals import poisson
from rayml.testing.bundles import untrained_bundle
from rayml.testing.load import Load, Question, questions
from tests.e2e.command import Rayml, environment
from tests.processes import command, descendants, kill, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the supervisor asks Linux for orphans"),
    pytest.mark.alone,
    pytest.mark.timeout(600),
]

ROWS = [{"size": n / 7, "colour": ["red", "blue", None][n % 3]} for n in range(300)]
WHAT = ("data=wine", "serve=one", "serve.replicas.cpu=0.5")
PLAN = poisson(40, 300, seed=0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose registry has a model `wine`."""
    folder = tmp_path_factory.mktemp("home")
    table = pa.table(
        {
            "size": [1.0, 2.5, None, 4.0] * 5,
            "colour": ["red", "blue", "red", None] * 5,
            "label": ["low", "high", "high", "low"] * 5,
        }
    )
    bundle = untrained_bundle(folder / "bundle", table, target="label", task="binary", name="wine")
    Registry(folder / "runs" / "registry").register(bundle)
    return folder


@pytest.fixture(scope="module")
def asked(home: Path) -> list[Question]:
    return questions(home / "bundle", ROWS)


class Serving:
    """A `rayml serve` that answers, and what it says from then on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said += iter(self.process.stdout.readline, "")

    def wait_for(self, text: str, count: int = 1) -> str:
        """Wait until so many lines have a text; the last of them."""
        wait_until(lambda: len(self.lines(text)) >= count, f"{text!r} in {self.said}", 240)
        return self.lines(text)[-1]

    def lines(self, text: str) -> list[str]:
        return [line.strip() for line in list(self.said) if text in line]

    @property
    def url(self) -> str:
        line = self.wait_for(" answers at ")
        (url,) = re.findall(r"http://\S+(?=/predict)", line)
        return str(url)

    def pid(self, words: str) -> int:
        """The process below whose command line has these words."""
        wanted = words.encode().replace(b" ", b"\0")
        (found,) = [each for each in descendants(self.process.pid) if wanted in command(each)]
        return found


@contextmanager
def serving(home: Path, *overrides: str) -> Iterator[Serving]:
    with subprocess.Popen(
        [sys.executable, "-m", "rayml", "serve", "latest", *WHAT, *overrides],
        cwd=home,
        env={**environment(home), "TMPDIR": str(temporary(home))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        below: list[int] = []
        try:
            running = Serving(process)
            running.wait_for("documentation")
            below += descendants(process.pid)
            yield running
        finally:
            kill([process.pid, *descendants(process.pid), *filter(command, below)])


def folders(home: Path, pids: list[int]) -> list[Path]:
    """The temporary folders of what was started: the command's, and HAProxy's of its nodes."""
    shared = shared_folder()
    inner = list(shared.iterdir()) if shared.is_dir() else []
    return [*temporary(home).glob("rayml-*"), *(each for each in inner if owner(each) in pids)]


def owner(folder: Path) -> int:
    """The process that HAProxy's folder goes with."""
    try:
        return int((folder / "owner").read_text().partition("-")[0])
    except (OSError, ValueError):
        return 0


def temporary(home: Path) -> Path:
    folder = home / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def gone(home: Path, pids: list[int]) -> None:
    """Wait until none of some processes is left, nor a folder of theirs."""
    wait_until(
        lambda: not any(map(command, pids)) and not folders(home, pids), "nothing is left", 15
    )


def test_nobody_notices_the_death_of_the_driver_nor_of_the_command(
    home: Path, asked: list[Question]
) -> None:
    with serving(home) as running:
        assert running.lines("loading version 1 of wine")
        assert running.lines("waiting for 1 replica")
        supervisor, started = (
            running.pid("-m rayml.serve.supervise.supervisor"),
            running.process.pid,
        )
        replica = running.pid("ray::ServeReplica:rayml:predict")
        below = descendants(started)
        with Load(running.url, asked, arrivals=PLAN) as load:
            load.wait_for(right=50)
            kill([running.pid("-m rayml serve")])
            running.wait_for("still answers at")
            load.wait_for(right=load.counts["right"] + 50)
            below += descendants(started)
            kill([started])
            running.process.wait()
            load.wait_for(right=load.counts["right"] + 50)
        assert load.report.right == len(load.report.due), load.report
        # A replica is started again for the driver that is gone.
        with Load(running.url, asked, arrivals=PLAN, retry_s=60) as load:
            load.wait_for(right=20)
            kill([replica])
            load.wait_for(right=load.counts["right"] + 50)
        below += descendants(supervisor)
        assert len(folders(home, below)) == 2
        os.kill(supervisor, signal.SIGKILL)
        gone(home, below)


def test_a_driver_that_was_started_again_ends_as_the_first_would(home: Path) -> None:
    with serving(home) as running:
        below = descendants(running.process.pid)
        kill([running.pid("-m rayml serve")])
        running.wait_for("still answers at")
        below += descendants(running.process.pid)
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0
        assert not any(map(command, below))
        assert not folders(home, below)


@pytest.mark.slow
def test_what_runs_without_its_command_is_listed_and_ended(home: Path, rayml: Rayml) -> None:
    with serving(home) as running:
        below = descendants(running.process.pid)
        kill([running.process.pid])
        (line,) = [
            each for each in rayml(home, "status").stdout.splitlines() if running.url in each
        ]
        assert f"{running.url} version 1: `rayml serve latest data=wine" in line
        ended = rayml(home, "down", running.url.rpartition(":")[2]).stdout
        assert ended.startswith(f"ended {running.url} ")
        assert not any(map(command, below))


@pytest.mark.parametrize("first", [pytest.param("supervisor", marks=pytest.mark.slow), "driver"])
def test_if_both_are_killed_nothing_is_left(home: Path, first: str) -> None:
    with serving(home) as running:
        supervisor, driver = (
            running.pid("-m rayml.serve.supervise.supervisor"),
            running.pid("-m rayml serve"),
        )
        below = descendants(running.process.pid)
        both = [supervisor, driver] if first == "supervisor" else [driver, supervisor]
        for pid in both:
            os.kill(pid, signal.SIGKILL)
        assert running.process.wait(timeout=60) == 1
        gone(home, below)
        assert running.lines("the supervisor was killed by SIGKILL; the endpoint ends")


@pytest.mark.slow
def test_a_ray_that_ends_is_started_again_at_the_same_port(
    home: Path, asked: list[Question]
) -> None:
    with serving(home) as running:
        url = running.url
        kill([running.pid("-m rayml.serve.supervise.caretaker")])
        running.wait_for("Ray has ended and is started again")
        running.wait_for(" answers at ", 2)
        assert running.url == url
        with Load(url, asked, clients=2) as load:
            load.wait_for(right=20)
        assert load.report.right == len(load.report.due), load.report
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0


def test_on_a_cluster_that_runs_the_endpoint_outlives_its_driver_but_not_both(
    home: Path, asked: list[Question], ray_session: None
) -> None:
    import ray
    from ray import serve

    address = ray.get_runtime_context().gcs_address
    with serving(home, f"cluster.address={address}") as running:
        below = descendants(running.process.pid)
        with Load(running.url, asked, arrivals=PLAN) as load:
            load.wait_for(right=50)
            kill([running.pid("-m rayml serve")])
            running.wait_for("still answers at")
            load.wait_for(right=load.counts["right"] + 50)
        assert load.report.right == len(load.report.due), load.report
        below += descendants(running.process.pid)
        for words in ("-m rayml serve", "-m rayml.serve.supervise.supervisor"):
            os.kill(running.pid(words), signal.SIGKILL)
        gone(home, below)
        assert not serve.status().applications
    assert ray.is_initialized()
