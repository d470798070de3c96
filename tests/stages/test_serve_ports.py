"""`rayml serve` tells of a port that is in use before it starts Ray."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rayml import pipeline
from rayml.config.compose import compose
from rayml.errors import ServeError
from rayml.serve.ingress.ports import Ports
from rayml.serve.supervise.messages import pair
from rayml.serve.supervise.supervised import Supervision
from rayml.stages import serve
from rayml.stages.context import Context


class RayStartsError(Exception):
    """Raised where Ray would be started."""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free(ports: Ports) -> int:
    port = ports.choose()
    ports.release()
    return port


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def starts(_: Context) -> None:
        raise RayStartsError

    monkeypatch.setattr(Context, "cluster", starts)


def serve_with(*words: str) -> None:
    pipeline.serve(Context(compose(["data=wine", *words])), None)


@pytest.mark.parametrize("key", ["serve.port", "serve.grpc.port"])
def test_a_port_that_is_in_use_is_told_before_ray_is_started(taken: int, key: str) -> None:
    said = f"^port {taken} is already in use; choose another with {key}$"
    with pytest.raises(ServeError, match=said):
        serve_with("serve.port=0", f"{key}={taken}")


def test_one_port_for_both_is_told_as_well(taken: int, free: int) -> None:
    with pytest.raises(ServeError, match=f"^port {free} is already in use; .*grpc"):
        serve_with(f"serve.port={free}", f"serve.grpc.port={free}")


def test_a_free_port_is_free_for_ray_and_whoever_is_next(free: int) -> None:
    for _ in range(2):
        with pytest.raises(RayStartsError):
            serve_with(f"serve.port={free}")
    socket.create_server(("127.0.0.1", free)).close()


@pytest.mark.parametrize("remembers", [True, False])
def test_a_driver_that_follows_a_killed_one_finds_its_own_endpoint_at_the_port(
    taken: int, monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    channel, other = pair()
    supervision = Supervision(channel, {"port": taken} if remembers else None)
    monkeypatch.setattr(serve, "supervision", lambda: supervision)
    with pytest.raises(RayStartsError if remembers else ServeError):
        serve_with(f"serve.port={taken}")
    channel.close()
    other.close()
