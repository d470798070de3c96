"""What the Ray cluster has: CPUs, GPUs and memory, in all and by machine. Needs a running Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A resource that Ray gives to the head node alone.
_HEAD = "node:__internal_head__"


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts that Ray schedules, used or not.

    Attributes:
        cpus: CPU cores.
        gpus: GPUs.
        memory: memory in bytes, without the object store.
        object_store: memory of the object store in bytes.
    """

    cpus: float = 0.0
    gpus: float = 0.0
    memory: float = 0.0
    object_store: float = 0.0

    @classmethod
    def of(cls, amounts: Mapping[str, float]) -> Resources:
        """The resources in Ray's own mapping, where an absent name is an amount of 0."""
        names = ("CPU", "GPU", "memory", "object_store_memory")
        return cls(*(float(amounts.get(name, 0)) for name in names))

    def holds(self, *, cpus: float, gpus: float) -> int:
        """How many tasks that take so much each fit at a time.

        Args:
            cpus: CPU cores of a task; above 0.
            gpus: GPUs of a task.
        """
        wanted = ((self.cpus, cpus), (self.gpus, gpus))
        return min(int(has / each) for has, each in wanted if each)


@dataclass(frozen=True, slots=True)
class Machine:
    """A live machine of the cluster.

    Attributes:
        node: Ray's id of its node.
        address: its IP address.
        resources: what it has.
        head: whether it is the head node.
    """

    node: str
    address: str
    resources: Resources
    head: bool = False


def total_resources() -> Resources:
    """What all machines of the cluster have together."""
    import ray

    return Resources.of(ray.cluster_resources())


def machines() -> list[Machine]:
    """The machines of the cluster that are alive."""
    import ray

    return [_machine(node) for node in ray.nodes() if node["Alive"]]


def own_machine() -> Machine:
    """The machine that this process runs on."""
    own = own_node()
    return next(each for each in machines() if each.node == own)


def own_node() -> str:
    """Ray's id of the node that this process runs on."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    return node


def _machine(node: Mapping[str, Any]) -> Machine:
    amounts = node["Resources"]
    return Machine(
        node["NodeID"], node["NodeManagerAddress"], Resources.of(amounts), _HEAD in amounts
    )
