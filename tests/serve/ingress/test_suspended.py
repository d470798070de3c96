"""HAProxy is told of replicas whose processes are suspended, and of no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rayml.serve.ingress.suspended import Server, Suspensions, servers
from tests.processes import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux's /proc")

CONFIG = """\
frontend http_frontend
    bind *:8000
backend app
    option httpchk
    server SERVE_REPLICA_a 127.0.0.1:30000 check observe layer4 error-limit 1 on-error mark-down
    server SERVE_REPLICA_b [::1]:30001 proto h2 check
    server fallback 127.0.0.1:8500 check backup
backend app_streams
    server SERVE_REPLICA_b [::1]:30001 proto h2 track app/SERVE_REPLICA_b
"""


def test_replicas_that_are_asked_in_turn_are_watched() -> None:
    assert servers(CONFIG) == [
        Server("app/SERVE_REPLICA_a", "127.0.0.1", 30000),
        Server("app/SERVE_REPLICA_b", "::1", 30001),
    ]


@pytest.fixture
def listening() -> Iterator[tuple[int, int]]:
    """A process that listens, and its port."""
    code = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        yield it.pid, int(it.stdout.readline())
        it.kill()


def test_only_who_stays_suspended_is_told_of(listening: tuple[int, int]) -> None:
    pid, port = listening
    said: list[str] = []
    elsewhere = Server("app/far", "192.0.2.254", port)
    suspensions = Suspensions([Server("app/a", "127.0.0.1", port), elsewhere], said.append)
    suspensions.look()
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    suspensions.look()
    assert said == []
    suspensions.look()
    assert said == ["set server app/a health down", "shutdown sessions server app/a"]
    os.kill(pid, signal.SIGCONT)
    said.clear()

    def goes_on() -> bool:
        suspensions.look()
        told, before = len(said), said.copy()
        suspensions.look()
        return len(said) == told and said == before

    wait_until(goes_on, "it is told of no more")


def test_a_process_that_has_ended_is_nobody(listening: tuple[int, int]) -> None:
    pid, port = listening
    said: list[str] = []
    suspensions = Suspensions([Server("app/a", "127.0.0.1", port)], said.append)
    suspensions.look()
    os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        suspensions.look()
    assert said == []
