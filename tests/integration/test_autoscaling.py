"""Replicas follow the load: from none to two and back, with every request answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from rayml.serve.endpoint import Endpoint, start
from rayml.serve_settings import ReplicaSettings, ServeSettings
from rayml.testing.bundles import untrained_bundle

pytestmark = pytest.mark.usefixtures("ray_session")

CLIENTS = 8
ROWS = {"rows": [{"x": 1.0}] * 200}
PATIENCE_S = 120.0


def running() -> int:
    """Replicas that run."""
    from ray import serve

    states = serve.status().applications["rayml"].deployments["predict"].replica_states
    return sum(count for state, count in states.items() if state == "RUNNING")


def wait_for(replicas: Callable[[int], bool]) -> None:
    # Serve tells nobody of a change, so it is asked.
    deadline = time.monotonic() + PATIENCE_S
    while not replicas(running()):
        assert time.monotonic() < deadline, f"{running()} replicas after {PATIENCE_S} s"
        time.sleep(0.1)


class Load:
    """Clients that ask one request after the other until they are told to stop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.statuses: list[int] = []
        self._url = f"{endpoint.url}/predict"
        self._over = threading.Event()
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=PATIENCE_S) as client:
            while not self._over.is_set():
                self.statuses.append(client.post(self._url, json=ROWS).status_code)


def test_replicas_come_and_go_with_the_load(tmp_path: Path) -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    bundle = untrained_bundle(tmp_path / "bundle", table, target="y", task="binary")
    replicas = ReplicaSettings(
        min=0, max=2, cpu=0.5, target_ongoing_requests=1, upscale_delay_s=0, downscale_delay_s=1
    )
    endpoint = start(bundle, version="1", settings=ServeSettings(port=0, replicas=replicas))
    try:
        wait_for(lambda count: count == 0)
        with Load(endpoint) as load:
            wait_for(lambda count: count == 2)
        wait_for(lambda count: count == 0)
        assert len(load.statuses) >= CLIENTS
        assert set(load.statuses) == {200}
    finally:
        endpoint.stop()
