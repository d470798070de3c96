"""An endpoint starts though others want its ports between the choice and the binding."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from rayml.serve.endpoint import start
from rayml.serve.rayserve.grpc.transport import answers
from rayml.settings.serve import GrpcSettings, ReplicaSettings, ServeSettings
from tests.listening import listening, name_of, processes
from tests.processes import wait_until


class Thief:
    """Takes whatever port it can."""

    def __init__(self) -> None:
        self._taken = ExitStack()
        self.refused: set[int] = set()
        self.held: set[int] = set()

    def take(self, port: int, *options: int) -> bool:
        server = self._taken.enter_context(socket.socket())
        for option in options:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            self.refused.add(port)
            return False
        server.listen()
        self.held.add(port)
        return True

    def end(self) -> None:
        self._taken.close()


@pytest.fixture
def thief() -> Iterator[Thief]:
    thief = Thief()
    yield thief
    thief.end()


def test_an_endpoint_starts_whatever_others_take_meanwhile(
    bundle: Path, ray_session: None, thief: Thief, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import serve

    begin = serve.start
    chosen: set[int] = set()

    def after_the_thief(**options: Any) -> Any:
        variables = options["controller_options"]["runtime_env"]["env_vars"]
        of_haproxy = ("STATS_PORT", "METRICS_PORT", "PROXY_HTTP_PORT", "PROXY_GRPC_PORT")
        chosen.update(int(each) for name, each in variables.items() if name.endswith(of_haproxy))
        chosen.update((options["http_options"].port, options["grpc_options"].port))
        for port in chosen:
            thief.take(port, socket.SO_REUSEADDR)
        for name in ("MIN_HTTP_PORT", "MIN_GRPC_PORT"):
            # What replicas would take first, by one who would share it.
            first = int(variables.get(f"RAY_SERVE_DIRECT_INGRESS_{name}", 30000))
            thief.take(first, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
        return begin(**options)

    monkeypatch.setattr(serve, "start", after_the_thief)
    endpoint = start(
        bundle,
        version="1",
        settings=ServeSettings(
            port=0,
            ingress="haproxy",
            grpc=GrpcSettings(port=0),
            replicas=ReplicaSettings(min=1, max=1, cpu=0.5),
        ),
    )
    try:
        assert len(chosen) == 6
        assert chosen <= thief.refused
        answer = httpx.post(f"{endpoint.url}/predict", json={"size": 1.0}, timeout=60)
        assert answer.status_code == 200
        assert endpoint.grpc_address is not None
        assert answers(endpoint.grpc_address, 60)
        (replica,) = (each for each in processes() if name_of(each).startswith("ray::ServeRepl"))
        # Another endpoint of this machine may have had the first one, and be gone by now.
        stolen = {30000, 31000} & thief.held
        assert not stolen & {port for _, port in listening(replica)}
    finally:
        endpoint.stop()
    wait_until(lambda: thief.take(endpoint.port, socket.SO_REUSEADDR), "its port is free again")
