"""A client that leaves frees what its request held, whether or not Ray Serve counts requests."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from rayml.serve.endpoint import start
from rayml.serve.predictor import Predictor
from rayml.serve_settings import ReplicaSettings, ServeSettings

ROW = {"size": 3.0, "colour": "blue"}
BODY = json.dumps(ROW).encode()


@pytest.mark.parametrize("ray_metrics", [False, True])
def test_the_place_of_a_client_that_left_is_free(
    ray_session: None, bundle: Path, ray_metrics: bool
) -> None:
    endpoint = start(
        bundle,
        version="7",
        settings=ServeSettings(
            port=0,
            ingress="haproxy",
            ray_metrics=ray_metrics,
            max_batch_size=2,
            # Until a second one comes, the first waits.
            batch_wait_s=20,
            max_ongoing_requests=1,
            max_queued_requests=1,
            replicas=ReplicaSettings(min=1, max=1, cpu=0.5),
        ),
    )
    try:
        with httpx.Client(base_url=endpoint.url, timeout=60) as client:
            left = ask(endpoint.port)
            until(lambda: held(client) == 1)
            left.close()
            until(lambda: left_early(client) == 1)
            assert held(client) == 0
            # Those who stay get their answers, from one forward pass.
            both = [http.client.HTTPConnection("127.0.0.1", endpoint.port) for _ in range(2)]
            for each in both:
                each.request("POST", "/predict", BODY, {"content-type": "application/json"})
            (own,) = Predictor.load(bundle).predict_rows([ROW])
            for each in both:
                with closing(each):
                    (answer,) = json.load(each.getresponse())["predictions"]
                    assert answer["label"] == own["label"]
                    assert answer["probability"] == pytest.approx(own["probability"], abs=1e-6)
    finally:
        endpoint.stop()


def ask(port: int) -> socket.socket:
    """A connection on which a request has been sent."""
    head = (
        "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
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
