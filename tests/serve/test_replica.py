"""Where the replicas of an endpoint are placed."""

from __future__ import annotations

from pathlib import Path

from rayml.serve.replica import application
from rayml.settings.serve import ReplicaSettings, ServeSettings


def options(machine: str | None) -> dict[str, object]:
    settings = ServeSettings(replicas=ReplicaSettings(cpu=0.5))
    app = application(Path(), version="1", settings=settings, machine=machine)
    found: dict[str, object] = app._bound_deployment.ray_actor_options
    return found


def test_a_replica_that_listens_on_loopback_stays_on_its_machine() -> None:
    assert options("10.0.0.7")["resources"] == {"node:10.0.0.7": 0.001}
    assert options("10.0.0.7")["num_cpus"] == 0.5


def test_another_one_goes_where_there_is_room() -> None:
    assert "resources" not in options(None)
