"""The driver's side of supervision: it asks for a Ray, and reports its endpoint."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from rayml.cluster.connection import connect
from rayml.errors import ConfigError, ServeError
from rayml.serve.supervise.messages import Message, Messages
from rayml.serve.supervise.supervisor import CHANNEL

_MOMENT_S = 0.3


@dataclass
class Supervision:
    """The supervisor of this process.

    Attributes:
        channel: connection to the supervisor.
        remembered: the endpoint of the previous driver, see `Endpoint.to_plain`; None for none.
        holder: id of the process that holds Ray and ends with the endpoint; 0 until it is known.
    """

    channel: Messages
    remembered: Message | None = None
    holder: int = 0

    def remember(self, endpoint: Message | None, *, answers: bool = False) -> None:
        """Report the endpoint, for the next driver to take over.

        Args:
            endpoint: see `Endpoint.to_plain`; None once it has ended.
            answers: whether the endpoint answers requests.
        """
        self.channel.send({"endpoint": endpoint, "answers": answers})


def possible() -> bool:
    """Whether this process can start a supervisor; a supervised driver cannot."""
    return sys.platform == "linux" and CHANNEL not in os.environ


@cache
def supervision() -> Supervision | None:
    """The supervisor of this process; None where it has none."""
    descriptor = os.environ.pop(CHANNEL, None)
    if descriptor is None:
        return None
    channel = Messages.inherited(int(descriptor))
    return Supervision(channel, (channel.receive() or {}).get("endpoint"))


@contextmanager
def connected(
    address: str | None,
    *,
    cpus: int | None,
    gpus: int | None,
    import_paths: Sequence[str],
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Connect as `rayml.cluster.connection` does; a supervised process leaves its Ray behind.

    Args:
        address: address of a running cluster; None for a local Ray.
        cpus: number of CPUs of a local Ray; None for all.
        gpus: number of GPUs of a local Ray; None for all.
        import_paths: folders of the user's code.
        tell: prints a line about a step that takes a while.

    Raises:
        ConfigError: no cluster answers at the address.
        ServeError: Ray does not start.
    """
    supervisor = supervision()
    if supervisor is None:
        with connect(address, cpus=cpus, gpus=gpus, import_paths=import_paths):
            yield
        return
    if address is None:
        # Ray's default where it starts a cluster, but not where it joins one; read at its import.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    wanted = {"address": address, "cpus": cpus, "gpus": gpus, "import_paths": list(import_paths)}
    supervisor.channel.send({"cluster": wanted})
    if not select.select([supervisor.channel], [], [], _MOMENT_S)[0]:
        tell("starting Ray" if address is None else f"joining the Ray cluster at {address}")
    import ray.serve  # noqa: F401 - while Ray starts

    answer = supervisor.channel.receive()
    if answer is None:
        raise ServeError(
            "the supervisor of this endpoint has ended", remedy="Start `rayml serve` again"
        )
    if "error" in answer:
        raise (ConfigError if answer["code"] == ConfigError.exit_code else ServeError)(
            answer["error"]
        )
    supervisor.holder = answer["holder"]
    # The workers of a local Ray inherit the folders from the caretaker.
    with connect(answer["address"], import_paths=import_paths if address else ()):
        yield
