"""Supervisors are found by their processes, and nothing else is taken for one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from rayml.serve.supervise.supervisors import Running, _asked, listener, running
from tests.processes import wait_until

SLEEP = "import sys; sys.stdin.read()"
_ACCEPTS = (socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_a_name_that_somebody_has_taken_keeps_none_from_starting() -> None:
    with listener() as first, listener() as second:
        assert first.getsockname() != second.getsockname()
        assert second.getsockopt(*_ACCEPTS)


def test_a_process_that_is_none_any_more_is_not_ended() -> None:
    """The id of a supervisor that was found may be another process's by now."""
    with subprocess.Popen([sys.executable, "-c", SLEEP], stdin=subprocess.PIPE) as other:
        found = Running(other.pid, ("serve",), started="1")
        assert found.end(0.0)
        assert other.poll() is None
        other.communicate()
    assert found.end(0.0)


def test_one_that_runs_is_found_and_ended() -> None:
    words = [sys.executable, "-c", SLEEP, "rayml.serve.supervise.supervisor", "serve", "data=wine"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        # A process that has just begun may have no words yet.
        wait_until(lambda: process.pid in {each.pid for each in running()}, "its words")
        (found,) = [each for each in running() if each.pid == process.pid]
        assert found == _asked(process.pid, ("serve", "data=wine"))
        assert found.started
        assert found.end(60)
        process.communicate()
    assert process.returncode == -15
    assert os.getpid() not in [each.pid for each in running()]
