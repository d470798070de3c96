"""Holds the local Ray of an endpoint, and cleans up once its supervisor has ended.

Ray's processes die with the process that starts them, so the caretaker starts them, not the driver.
On a cluster that runs by itself it holds nothing: it waits for the supervisor's end, and imports
Ray only then.

It runs as `python -m rayml.serve.supervise.caretaker`, with exit code 3 if its Ray ended by itself.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rayml.cluster.connection import connect
from rayml.errors import RaymlError
from rayml.processes import adopt_orphans, children, end_all_below
from rayml.serve.supervise.messages import Message, Messages
from rayml.serve.supervise.supervisor import CHANNEL
from rayml.storage.temporary import remove_folder, sweep

RAY_ENDED = 3
_PERIOD_S = 0.5
# Accepted requests have this long to be answered after the supervisor has ended.
_DRAIN_S = 2.0
# Ray restarts none of its own processes, and without these it can start no replica.
_VITAL = {"gcs_server", "raylet"}


class Caretaker:
    """The work of this process.

    Args:
        supervisor: sends which Ray to start, and which endpoint runs.
    """

    def __init__(self, supervisor: Messages) -> None:
        self._supervisor = supervisor
        self._endpoint: Message | None = None

    def run(self) -> int:
        """Work until the supervisor has ended, and return the exit code."""
        wanted = self._supervisor.receive()
        if wanted is None:
            return 0
        cluster = wanted["cluster"]
        try:
            return self._stand_by(cluster) if cluster["address"] else self._hold(cluster)
        except RaymlError as error:
            self._supervisor.send({"error": str(error), "code": error.exit_code})
            return 0
        finally:
            end_all_below()
            if self._endpoint is not None and self._endpoint["temporary"]:
                remove_folder(Path(self._endpoint["temporary"]))
            sweep()

    def _hold(self, cluster: Message) -> int:
        with connect(
            None,
            cpus=cluster["cpus"],
            gpus=cluster["gpus"],
            import_paths=cluster["import_paths"],
        ):
            import ray

            self._tell(ray.get_runtime_context().gcs_address)
            while not self._supervisor_ended():
                if _ray_has_ended():
                    return RAY_ENDED
                _reap_orphans()
            if _ray_has_ended():
                return RAY_ENDED
            self._drain()
        return 0

    def _stand_by(self, cluster: Message) -> int:
        self._tell(cluster["address"])
        while not self._supervisor_ended():
            pass
        if self._endpoint is not None:
            with connect(cluster["address"]):
                self._drain()
                from rayml.serve.endpoint import Endpoint

                logging.getLogger("ray.serve").setLevel(logging.ERROR)
                Endpoint.from_plain(self._endpoint).end()
                self._endpoint = None
        return 0

    def _tell(self, address: str) -> None:
        self._supervisor.send({"address": address, "holder": os.getpid()})

    def _supervisor_ended(self) -> bool:
        """Listen for `_PERIOD_S`; whether the supervisor has ended."""
        if not select.select([self._supervisor], [], [], _PERIOD_S)[0]:
            return False
        while (message := self._supervisor.receive()) is not None:
            self._endpoint = message["endpoint"]
            if not self._supervisor.pending:
                return False
        return True

    def _drain(self) -> None:
        if self._endpoint is not None:
            from rayml.serve.ingress.ingress import drain

            drain(_DRAIN_S)


def _node() -> Any:
    from ray._private import worker

    return worker._global_node  # noqa: SLF001 - Ray has no public access to it


def _ray_has_ended() -> bool:
    return any(kind in _VITAL for kind, _ in _node().dead_processes())


def _reap_orphans() -> None:
    """Wait for processes that have ended, but for Ray's own, which Ray waits for."""
    rays = {each.process.pid for kind in _node().all_processes.values() for each in kind}
    for pid in children(os.getpid()):
        if pid not in rays:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def main() -> int:
    """Run until the supervisor has ended; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    return Caretaker(Messages.inherited(int(os.environ.pop(CHANNEL)))).run()


if __name__ == "__main__":
    sys.exit(main())
