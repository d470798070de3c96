"""What clients see when parts of an endpoint are killed, and when it is stopped, under load.

Each request is counted, and its answer compared with the predictor's own. See
`rayml/serve/ingress/haproxy_keeper.py` for what can break at all: HAProxy's own open connections.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rayml.processes import parent_of
from rayml.serve.endpoint import Endpoint, start
from rayml.settings.serve import ReplicaSettings, ServeSettings
from rayml.testing.arrivals import poisson
from rayml.testing.load import Load, Question, questions
from tests.processes import command, descendants, kill, wait_until

RATE = 60
# No client of these would wait longer for an answer.
PLAN = poisson(RATE, 120, seed=0)

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.alone]


@pytest.fixture(scope="module")
def asked(bundle: Path) -> list[Question]:
    """As many different questions as any load here asks."""
    colours = ["red", "blue", "violet", None]
    rows = [{"size": n / 7, "colour": colours[n % 4]} for n in range(len(PLAN))]
    return questions(bundle, rows)


def serve(bundle: Path) -> Endpoint:
    replicas = ReplicaSettings(min=2, max=2, cpu=0.5)
    return start(bundle, version="1", settings=ServeSettings(port=0, replicas=replicas))


@pytest.fixture(scope="module")
def endpoint(bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    running = serve(bundle)
    yield running
    running.stop()


def processes(word: bytes) -> list[int]:
    return [pid for pid in descendants(os.getpid()) if word in command(pid)]


def haproxy() -> list[int]:
    """HAProxy itself, without its keeper; several while one takes over from the other."""
    return [pid for pid in processes(b"bin/haproxy") if b"haproxy_keeper" not in command(pid)]


def replace(word: bytes) -> None:
    """Kill a process, and wait until there is another."""
    before = processes(word)
    kill(before[:1])
    wait_until(
        lambda: len(processes(word)) == len(before) and set(processes(word)) != set(before),
        f"another {word!r}",
    )


def test_a_killed_replica_loses_nothing(endpoint: Endpoint, asked: list[Question]) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN) as load:
        load.wait_for(right=100)
        replace(b"ray::ServeReplica")
        load.wait_for(right=load.counts["right"] + 100)
    assert load.report.right == len(load.report.due), load.report


def test_a_killed_controller_is_not_noticed(endpoint: Endpoint, asked: list[Question]) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN) as load:
        load.wait_for(right=100)
        replace(b"ray::ServeController")
        load.wait_for(right=load.counts["right"] + 100)
    assert load.report.right == len(load.report.due), load.report


def test_a_killed_haproxy_breaks_its_connections_only(
    endpoint: Endpoint, asked: list[Question]
) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN, connections=16, retry_s=10) as load:
        load.wait_for(right=100)
        (before,) = haproxy()
        kill([before])
        wait_until(lambda: haproxy() not in ([], [before]), "another HAProxy")
        load.wait_for(right=load.counts["right"] + 100)
    report = load.report
    assert report.right == len(report.due), report
    # Whoever came while there was none waited, or far more would have been sent again.
    assert report.retried == sum(report.broken) <= 16


def test_a_killed_keeper_breaks_no_more_than_a_killed_haproxy(
    endpoint: Endpoint, asked: list[Question]
) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN, connections=16, retry_s=10) as load:
        load.wait_for(right=100)
        (keeper,) = keepers()
        kill([keeper])
        load.wait_for(right=load.counts["right"] + 100)
        # Its spare answers until Serve has noticed, and has another one started.
        wait_until(lambda: keepers() not in ([], [keeper]), "another keeper of Serve's")
        load.wait_for(right=load.counts["right"] + 100)
    report = load.report
    assert report.right == len(report.due), report
    # Whoever came before the spare was there waited, or far more would have been sent again.
    assert report.retried == sum(report.broken) <= 2 * 16


def keepers() -> list[int]:
    """Those that Serve started, without their spares."""
    found = processes(b"rayml.serve.ingress.haproxy_keeper")
    return [pid for pid in found if b"haproxy_keeper" not in command(parent_of(pid))]


def test_a_suspended_replica_is_out_of_turn_and_loses_nothing(
    endpoint: Endpoint, asked: list[Question]
) -> None:
    wait_until(lambda: len(processes(b"ray::ServeReplica")) == 2, "both replicas")
    with Load(endpoint.url, asked, arrivals=PLAN, connections=16) as load:
        load.wait_for(right=100)
        suspended = processes(b"ray::ServeReplica")[0]
        os.kill(suspended, signal.SIGSTOP)
        try:
            load.wait_for(right=load.counts["right"] + 200)
        finally:
            with suppress(ProcessLookupError):  # Serve has replaced it
                os.kill(suspended, signal.SIGCONT)
        load.wait_for(right=load.counts["right"] + 100)
    assert load.report.right == len(load.report.due), load.report


@pytest.mark.parametrize(
    "process", [pytest.param(b"ray::HAProxyManager", marks=pytest.mark.slow), b"ray::ProxyActor"]
)
def test_a_killed_proxy_of_serve_is_not_noticed(
    endpoint: Endpoint, asked: list[Question], process: bytes
) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN) as load:
        load.wait_for(right=100)
        before = haproxy()
        replace(process)
        if process == b"ray::HAProxyManager":
            wait_until(lambda: not set(before) & set(haproxy()), "its own HAProxy")
        load.wait_for(right=load.counts["right"] + 100)
    assert load.report.right == len(load.report.due), load.report


def test_stopping_answers_what_was_taken_in_and_refuses_the_rest(
    bundle: Path, asked: list[Question], endpoint: Endpoint
) -> None:
    with Load(endpoint.url, asked, arrivals=PLAN) as load:
        load.wait_for(right=100)
        endpoint.stop()
        load.wait_for(unreached=50)
    report = load.report
    assert report.right + report.unreached == len(report.due), report
    assert report.unreached >= 50
