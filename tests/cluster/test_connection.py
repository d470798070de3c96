"""Ray is joined or started as the config says."""

from __future__ import annotations

import socket

import pytest

from rayml.cluster.connection import connect
from rayml.errors import ClusterError, ConfigError
from rayml.serve.ingress.ports import Ports


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nothing_listens_is_refused_at_once(prefix: str, ports: Ports) -> None:
    address = f"{prefix}127.0.0.1:{ports.choose()}"
    with (
        pytest.raises(ConfigError, match="no Ray cluster answers at") as caught,
        connect(address),
    ):
        pass
    assert address in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:", "127.0.0.1:many", "127.0.0.1:99999999"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.address"), connect(address):
        pass


BUSY = "The current node timed out during startup. This could happen because …"


@pytest.mark.parametrize("failures", [1, 3])
def test_a_ray_that_starts_too_slowly_is_started_again(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    left = [Exception(BUSY)] * failures

    def init(**_: object) -> None:
        if left:
            raise left.pop()

    ended: list[bool] = []
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    if failures < 3:
        with connect():
            assert ended == [True]
    else:
        with pytest.raises(ClusterError, match="timed out during startup") as caught, connect():
            pass
        assert "\n" not in str(caught.value)
        assert len(ended) == 3
    assert not left


def test_a_cluster_that_answers_and_refuses_is_told_of_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    def init(**_: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "3")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match="RAY_AUTH_TOKEN"), connect(address):
            pass
    with pytest.raises(ConfigError, match="ray start --head"), connect("auto"):
        pass
