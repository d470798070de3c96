"""An endpoint that other machines can reach: it asks for a key, and nothing else of it is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pydantic
import pytest

from rayml.serve.access.key_file import add_key
from rayml.serve.access.keys import new_key
from rayml.serve.endpoint import Endpoint, start
from rayml.settings.serve import KeySettings, ReplicaSettings, ServeSettings
from tests.listening import beyond, own_address

TOKEN, KEY = new_key("orders", ["predict"])


def settings(keys: KeySettings) -> ServeSettings:
    return ServeSettings(host="0.0.0.0", port=0, keys=keys, replicas=ReplicaSettings(max=1))


@pytest.fixture(scope="module")
def endpoint(
    bundle: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    add_key(file, KEY)
    running = start(bundle, version="7", settings=settings(KeySettings(file=str(file))))
    yield running
    running.stop()


def test_it_does_not_start_without_keys() -> None:
    with pytest.raises(pydantic.ValidationError, match="the endpoint asks for no key"):
        settings(KeySettings())


def test_it_answers_who_brings_a_key_at_every_address(endpoint: Endpoint) -> None:
    row = {"size": 1.0}
    for host in (own_address(), "127.0.0.1"):
        with httpx.Client(base_url=f"http://{host}:{endpoint.port}", timeout=60) as client:
            assert client.get("/readyz").status_code == 200
            for headers in ({}, {"x-api-key": f"{TOKEN}x"}):
                refused = client.post("/predict", json=row, headers=headers)
                assert (refused.status_code, list(refused.json())) == (401, ["error"])
                assert refused.headers["www-authenticate"].startswith("Bearer")
            for headers in ({"x-api-key": TOKEN}, {"authorization": f"Bearer {TOKEN}"}):
                answered = client.post("/predict", json=row, headers=headers)
                assert answered.status_code == 200
                assert answered.json()["predictions"]
            # A key for predictions does not show what is measured.
            assert client.get("/metrics", headers={"x-api-key": TOKEN}).status_code == 403


def test_its_port_alone_is_open_to_others(endpoint: Endpoint) -> None:
    """Not a replica's, nor HAProxy's statistics and metrics; and Ray's own, which Ray guards."""
    open_ports = beyond()
    assert [port for name, port in open_ports if name == "haproxy"] == [endpoint.port]
    ray = [name for name, _ in open_ports if name != "haproxy"]
    assert ray.count("ray::ServeRepli") == 1
    assert ray.count("ray::ProxyActor") <= 1
    assert len(ray) <= 3, ray
