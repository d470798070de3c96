"""What Ray Serve leaves to the app, or does itself where it counts requests."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from rayml.serve.endpoint import Endpoint, start
from rayml.serve.predict.predictor import Predictor
from rayml.settings.serve import ReplicaSettings, ServeSettings
from tests.listening import listening, name_of, processes

ROW = {"size": 3.0, "colour": "blue"}
BODY = json.dumps(ROW).encode()


@pytest.fixture(scope="module", params=[False, True], ids=["direct", "ray_metrics"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Whether requests go straight to the app."""
    return not request.param


@pytest.fixture(scope="module")
def endpoint(direct: bool, bundle: Path, ray_session: None) -> Iterator[Endpoint]:
    running = start(
        bundle,
        version="7",
        settings=ServeSettings(
            port=0,
            ingress="haproxy",
            ray_metrics=not direct,
            max_batch_size=2,
            # Until a second one comes, the first waits.
            batch_wait_s=20,
            max_ongoing_requests=1,
            max_queued_requests=1,
            replicas=ReplicaSettings(min=1, max=1, cpu=0.5),
        ),
    )
    yield running
    running.stop()


def test_the_place_of_a_client_that_left_is_free(endpoint: Endpoint, bundle: Path) -> None:
    with httpx.Client(base_url=endpoint.url, timeout=60) as client:
        left = ask(endpoint.port)
        until(lambda: held(client) == 1)
        left.close()
        until(lambda: left_early(client) == 1)
        assert held(client) == 0
    # Those who stay get their answers, from one forward pass.
    (own,) = Predictor.load(bundle).predict_rows([ROW])
    for answer in two(endpoint.port):
        assert answer["label"] == own["label"]
        assert answer["probability"] == pytest.approx(own["probability"], abs=1e-6)


def test_a_replica_is_asked_as_the_settings_say(endpoint: Endpoint, direct: bool) -> None:
    """By a header of Serve's, which HAProxy takes off, one can tell who is asked first."""
    (replica,) = (each for each in processes() if name_of(each).startswith("ray::ServeRepl"))
    ports = {port for _, port in listening(replica) if answers(port)}
    (port,) = ports
    with closing(ask(port, "x-request-timeout-seconds: 0.2\r\n")) as first:
        if not direct:
            assert first.recv(65536).startswith(b"HTTP/1.1 408")
            return
        with closing(ask(port)) as second:
            for connection in (first, second):
                # In one piece: a second read would be needed for what was written later.
                head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert json.loads(body)["predictions"]


def answers(port: int) -> bool:
    """Whether a port is that of HTTP."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def two(port: int) -> list[dict[str, object]]:
    """The answers to two requests of one moment, which fill a batch."""
    start = time.monotonic()
    both = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(2)]
    for each in both:
        each.request("POST", "/predict", BODY, {"content-type": "application/json"})
    found = []
    for each in both:
        with closing(each):
            found += json.load(each.getresponse())["predictions"]
    # Else each was in a batch of its own, and waited for the end of its time.
    assert time.monotonic() - start < 10
    return found


def ask(port: int, more: str = "") -> socket.socket:
    """A connection on which a request has been sent."""
    head = (
        f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(BODY)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(head.encode() + BODY)
    return connection


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def held(client: httpx.Client) -> float:
    return sample(client, "rayml_requests_in_progress")


def left_early(client: httpx.Client) -> float:
    return sample(client, "rayml_requests_total", 'code="499"')


def sample(client: httpx.Client, name: str, label: str = "") -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name} ", f"{name}{{")) and label in line
    )
