"""rayml's endpoint in a process of its own: `python endpoint_app.py BUNDLE INGRESS PORT`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Literal, cast

os.environ.setdefault("RAY_AUTH_MODE", "disabled")

import ray

from rayml.serve.endpoint import start
from rayml.settings.serve import ReplicaSettings, ServeSettings

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    settings = ServeSettings(
        port=int(sys.argv[3]),
        ingress=cast("Literal['haproxy', 'proxy']", sys.argv[2]),
        replicas=ReplicaSettings(min=1, max=1),
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    endpoint = start(Path(sys.argv[1]), version="1", settings=settings)
    signal.sigwait({signal.SIGINT})
    endpoint.stop()
    ray.shutdown()
