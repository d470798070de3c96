"""What a driver says to its supervisor: which Ray it wants, and which endpoint it made."""

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
        channel: to it.
        remembered: the endpoint that the driver before this one made, see `Endpoint.to_plain`.
        holder: process that ends with the endpoint; 0 until there is one.
    """

    channel: Messages
    remembered: Message | None = None
    holder: int = 0

    def remember(self, endpoint: Message | None, *, answers: bool = False) -> None:
        """Let the next driver know of an endpoint, or of none any more.

        Args:
            endpoint: see `Endpoint.to_plain`.
            answers: whether it does by now.
        """
        self.channel.send({"endpoint": endpoint, "answers": answers})


def possible() -> bool:
    """Whether this process may start a driver under a supervisor, being none itself."""
    return sys.platform == "linux" and CHANNEL not in os.environ


@cache
def supervision() -> Supervision | None:
    """The supervisor of this process; None if it has none."""
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
        address: see there, as for the next three.
        cpus: of a local Ray.
        gpus: of a local Ray.
        import_paths: of the user's code.
        tell: is given a line of what takes a while.

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
        # As Ray itself has it where it starts a cluster, but not where it joins one. It reads it
        # when it is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    wanted = {"address": address, "cpus": cpus, "gpus": gpus, "import_paths": list(import_paths)}
    supervisor.channel.send({"cluster": wanted})
    if not select.select([supervisor.channel], [], [], _MOMENT_S)[0]:
        tell("starting Ray" if address is None else f"joining the Ray cluster at {address}")
    import ray.serve  # noqa: F401 - while Ray starts

    told = supervisor.channel.receive()
    if told is None:
        raise ServeError("the supervisor of this endpoint has ended")
    if "error" in told:
        raise (ConfigError if told["code"] == ConfigError.exit_code else ServeError)(told["error"])
    supervisor.holder = told["holder"]
    # The workers of a local Ray inherit the folders from the caretaker.
    with connect(told["address"], import_paths=import_paths if address else ()):
        yield
