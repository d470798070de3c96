"""A real supervisor over processes that stand for a driver and a caretaker; no Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rayml.serve.supervise.supervisors import Running, _asked
from tests.processes import command, descendants, kill, wait_until
from tests.serve.supervised_stub import ENDPOINT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for orphans")

WAITS = (
    "rayml: the next start is in 3600 s, since the driver died 8 times soon after the endpoint"
    " answered\n"
)


@contextmanager
def supervisor(kind: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.serve.supervised_stub", kind, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            kill([*descendants(process.pid), process.pid])


def starts(folder: Path) -> list[Any]:
    """Process, endpoint that it was told of, and holder, of each driver so far."""
    try:
        lines = (folder / "starts").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def started(folder: Path, count: int) -> list[Any]:
    wait_until(lambda: len(starts(folder)) >= count, f"{count} drivers have started")
    return starts(folder)


def gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(command, pids)), "nothing is left", 15)


def test_it_imports_neither_ray_nor_a_model() -> None:
    code = (
        "import sys, rayml.serve.supervise.supervisor;"
        "print(sorted({'torch', 'pyarrow', 'ray', 'hydra', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_killed_driver_is_followed_by_one_that_knows_the_endpoint(tmp_path: Path) -> None:
    with supervisor("serves", tmp_path) as process:
        ((first, endpoint, holder),) = started(tmp_path, 1)
        assert endpoint is None
        below = descendants(process.pid)
        for count in (2, 3, 4, 5, 6, 7):  # more often than a driver may fail to start
            kill([starts(tmp_path)[-1][0]])
            assert started(tmp_path, count)[-1][1:] == [ENDPOINT, holder]
        process.terminate()
        # The code of the driver, which it gave itself, is that of all.
        assert process.wait(timeout=60) == 7
        assert process.stderr is not None
        assert process.stderr.read().count("the driver was killed by SIGKILL") == 6
    assert (tmp_path / "cared").exists()
    gone([first, *below])


def test_it_tells_of_the_endpoint_but_not_its_key(tmp_path: Path) -> None:
    with supervisor("serves", tmp_path) as process:
        ((driver, *_),) = started(tmp_path, 1)
        told = Running(process.pid, (), driver=driver, url="http://127.0.0.1:1", version="3")
        assert _asked(process.pid, ()) == told
        assert told.end(60)
        assert _asked(process.pid, ()) == Running(process.pid, ())
        assert process.wait() == 7
        assert told.end(60)


def test_a_driver_that_dies_again_and_again_is_left_alone(tmp_path: Path) -> None:
    with supervisor("dies", tmp_path) as process:
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert "died 4 times before its endpoint answered" in process.stderr.read()


def test_a_driver_that_ends_with_an_error_is_not_started_again(tmp_path: Path) -> None:
    with supervisor("fails", tmp_path) as process:
        assert process.wait(timeout=60) == 2
        assert process.stderr is not None
        assert not process.stderr.read()


def test_one_that_dies_soon_again_and_again_waits_and_can_be_ended_meanwhile(
    tmp_path: Path,
) -> None:
    with supervisor("serves", tmp_path) as process:
        assert process.stderr is not None
        for count in range(1, 9):
            driver, _, holder = started(tmp_path, count)[-1]
            kill([driver])
        said = list(iter(process.stderr.readline, WAITS))
        assert len(said) == 8
        # That Ray ends too brings the next start no nearer.
        kill([holder])
        assert "Ray has ended" in process.stderr.readline()
        assert _asked(process.pid, ()).driver is None
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
        assert not process.stderr.read()
    assert len(starts(tmp_path)) == 8


def test_a_killed_caretaker_is_replaced_with_all_that_it_held(tmp_path: Path) -> None:
    with supervisor("serves", tmp_path) as process:
        ((driver, _, holder),) = started(tmp_path, 1)
        below = descendants(process.pid)
        kill([holder])
        again = started(tmp_path, 2)[-1]
        assert (again[0] != driver, again[2] != holder) == (True, True)
        gone(below)


@pytest.mark.parametrize("first", ["supervisor", "driver"])
def test_when_it_is_killed_too_nothing_is_left(tmp_path: Path, first: str) -> None:
    with supervisor("serves", tmp_path) as process:
        ((driver, *_),) = started(tmp_path, 1)
        below = descendants(process.pid)
        assert any(command(pid).startswith(b"sleep") for pid in below)
        order = [process.pid, driver] if first == "supervisor" else [driver, process.pid]
        for pid in order:
            os.kill(pid, signal.SIGKILL)
        gone(below)
    assert (tmp_path / "cared").exists()
