"""Ray is joined or started as the config says."""

from __future__ import annotations

import pytest

from rayml.cluster import connect
from rayml.errors import ClusterError, ConfigError
from rayml.serve.ports import Ports


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nothing_listens_is_refused_at_once(prefix: str, ports: Ports) -> None:
    address = f"{prefix}127.0.0.1:{ports.choose()}"
    with (
        pytest.raises(ConfigError, match="that of a running Ray cluster") as caught,
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
