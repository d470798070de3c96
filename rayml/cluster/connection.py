"""Starts or joins the Ray cluster that a command works on."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayml.cluster.ray_failures import may_start_later, not_started
from rayml.cluster.slowness import timing_the_start
from rayml.errors import ClusterError, ConfigError, RaymlError
from rayml.interrupts import keeping_handlers

# Of a cluster that answers already: one that refuses the token does so at once, and Ray would ask
# it for half a minute, with a line a second.
_JOINING = {"RAY_gcs_server_port_wait_time_s": "3"}
# Ray itself waits half a minute for its processes.
_ATTEMPTS = 3
_logs: list[Path] = []

# Read by Ray when it is imported or started. A user's own setting wins.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray's own hints about future defaults would drown a sweep's messages.
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


@contextmanager
def connect(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    import_paths: Sequence[str] = (),
) -> Iterator[None]:
    """Start a local Ray, or join a running cluster, for as long as the context lasts.

    A local Ray is ended with the context; a cluster that ran before goes on.

    Args:
        address: of a running cluster, `auto` for the one on this machine; None starts one.
        cpus: CPU cores of a local Ray; None takes all.
        gpus: GPUs of a local Ray; None takes all.
        import_paths: folders from which workers import the user's code.

    Raises:
        ConfigError: no cluster answers at the address.
        ClusterError: Ray does not start, or the cluster refuses this process.
    """
    if address is not None:
        _require_reachable(address)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    local = address is None
    paths = {"PYTHONPATH": _python_path(import_paths)} if import_paths else {}
    if local:
        # Inherited, since a runtime environment costs each first worker more than a second.
        os.environ.update(paths)
    _begin(
        address="local" if local else address,
        num_cpus=cpus if local else None,
        num_gpus=gpus if local else None,
        include_dashboard=False if local else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": paths} if paths and not local else None,
    )
    import ray

    _quiet()
    try:
        yield
    finally:
        if local:
            _end_autoscaler()
        ray.shutdown()


def log_folder() -> Path | None:
    """Where the Ray that this process started or joined last keeps its logs on this machine."""
    return _logs[-1] if _logs else None


def _begin(**options: Any) -> None:
    """Start or join Ray, more than once if the machine is too busy the first time."""
    if options["address"] != "local":
        for name, value in _JOINING.items():
            os.environ.setdefault(name, value)
    import ray
    from ray._private import worker

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # Ray also answers SIGTERM in its own way.
            with _private_files(), keeping_handlers(), timing_the_start():
                ray.init(**options)
        except ConnectionError as error:
            raise _not_joined(options["address"], error) from error
        except Exception as error:  # Ray raises bare ones
            _end_what_started(error)
            if attempt == _ATTEMPTS or not may_start_later(error):
                raise not_started(error, _latest_logs()) from error
        else:
            break
    node = worker._global_node  # noqa: SLF001 - Ray gives no other way to it
    if node is not None:
        _logs.append(Path(node.get_logs_dir_path()))


@contextmanager
def _private_files() -> Iterator[None]:
    """Ray writes its token with the process's mask."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def _end_what_started(error: BaseException) -> None:
    """End the processes of a node that did not start; Ray forgets them, but for the traceback."""
    import ray
    from ray._private.node import Node

    frame = error.__traceback__
    while frame is not None:
        node = frame.tb_frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            break
        frame = frame.tb_next
    ray.shutdown()


def _latest_logs() -> Path | None:
    from ray._common.utils import get_default_ray_temp_dir

    logs = Path(get_default_ray_temp_dir()) / "session_latest" / "logs"
    return logs.resolve() if logs.is_dir() else None


def _end_autoscaler() -> None:
    """End the autoscaler of a local Ray, which has no machine to add.

    Told to end with the rest, it writes to a store that has ended before it until Ray, a second
    later, kills it.
    """
    from ray._private import worker

    node = worker._global_node  # noqa: SLF001 - Ray gives no other way to it
    if node is not None:
        node.kill_monitor(check_alive=False)


def _require_reachable(address: str) -> None:
    """Refuse at once an address where nothing listens; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return  # a word such as `auto`, which Ray looks up
    if not port.isdigit():
        raise ConfigError(
            f"cluster.address={address} is not an address", remedy="Write host:port, or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _not_joined(address: str, error: Exception) -> RaymlError:
    """Why a cluster was not joined: if its address answers, its token may be lacking."""
    if not address.rpartition(":")[2].isdigit():
        return _no_cluster(address, error)
    return ClusterError(
        f"the Ray cluster at {address} does not let this process in ({error})",
        remedy="Give its token with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH;"
        " if another program answers there, set cluster.address=null",
    )


def _no_cluster(address: str | None, error: Exception) -> ConfigError:
    return ConfigError(
        f"no Ray cluster answers at {address} ({error})",
        remedy="Start one with `ray start --head`, or set cluster.address=null",
    )


def _python_path(folders: Sequence[str]) -> str:
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys([*(str(Path(folder)) for folder in folders), *filter(None, known)])
    return os.pathsep.join(paths)


def _quiet() -> None:
    for name in ("ray.data", "ray.tune", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
