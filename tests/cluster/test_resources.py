"""The cluster's resources are read from Ray once, as typed amounts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from rayml.cluster.resources import (
    Machine,
    Resources,
    machines,
    own_machine,
    own_node,
    total_resources,
)

HEAD = {"CPU": 4.0, "memory": 8e9, "object_store_memory": 2e9, "node:__internal_head__": 1.0}


def node(name: str, amounts: dict[str, float], *, alive: bool = True) -> dict[str, Any]:
    return {
        "NodeID": name,
        "NodeManagerAddress": f"10.0.0.{len(name)}",
        "Alive": alive,
        "Resources": amounts if alive else {},
    }


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node("a", HEAD), node("bb", {"CPU": 2.0, "GPU": 1.0}), node("ccc", {}, alive=False)]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {**HEAD, "CPU": 6.0, "GPU": 1.0})
    own = SimpleNamespace(get_node_id=lambda: "bb")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: own)


def test_amounts_are_those_of_ray_and_0_where_it_names_none(cluster: None) -> None:
    assert total_resources() == Resources(6.0, 1.0, 8e9, 2e9)
    assert Resources.of({}) == Resources(0.0, 0.0, 0.0, 0.0)


def test_machines_that_are_lost_are_none(cluster: None) -> None:
    assert machines() == [
        Machine("a", "10.0.0.1", Resources(4.0, 0.0, 8e9, 2e9), head=True),
        Machine("bb", "10.0.0.2", Resources(2.0, 1.0)),
    ]
    assert own_machine().node == own_node() == "bb"


@pytest.mark.parametrize(
    ("cpus", "gpus", "tasks"),
    [(1, 0, 5), (2, 0, 2), (2.5, 0, 2), (0.5, 0, 10), (1, 1, 2), (1, 2, 1), (0, 0.5, 4), (6, 0, 0)],
)
def test_how_many_tasks_fit(cpus: float, gpus: float, tasks: int) -> None:
    assert Resources(cpus=5.0, gpus=2.0).holds(cpus=cpus, gpus=gpus) == tasks


def test_a_task_that_wants_what_is_absent_does_not_fit() -> None:
    assert Resources(cpus=5.0).holds(cpus=1, gpus=1) == 0
