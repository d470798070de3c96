"""Checks that every machine of a cluster sees the folders and files that its workers need."""

from __future__ import annotations

import glob
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayml.cluster.resources import machines, own_node, total_resources
from rayml.errors import InvalidConfigError, StorageError
from rayml.storage.disk import make_folder, write

if TYPE_CHECKING:
    from rayml.config.schema import Config

# Starting a worker on a busy machine takes some seconds, on a very busy one some tens.
_DEADLINE_S = 60.0
_SHARED = ("prepared", "sweeps", "registry")


def machine_problems(config: Config) -> list[str]:
    """Folders and files that a machine of the cluster lacks; asks each machine. Needs Ray.

    A file is written into each folder here and read on the others, since another folder may have
    the same name.
    """
    others = _other_machines()
    if not others:
        return []
    folders = {f"paths.{name}": Path(getattr(config.paths, name)).resolve() for name in _SHARED}
    token = f".shared-{uuid.uuid4().hex}"
    try:
        for folder in folders.values():
            make_folder(folder)
            write(folder / token, token)
        paths = {key: str(folder / token) for key, folder in folders.items()}
        return _ask(others, paths, _local_files(config.data.source), token)
    except StorageError as error:
        return [f"paths: {error}"]
    finally:
        for folder in folders.values():
            (folder / token).unlink(missing_ok=True)


def cpu_problems() -> list[str]:
    """A problem if the cluster has no CPU, so that every task would wait. Needs Ray."""
    if total_resources().cpus:
        return []
    return [
        "cluster: it has no CPU: no worker has joined it, or all were started with --num-cpus=0;"
        " add a machine with `ray start --address=HOST:PORT`, or set cluster.address=null"
    ]


def require_machines(config: Config) -> None:
    """Check that the cluster has a CPU and its machines see what the workers need.

    Raises:
        InvalidConfigError: something is lacking; all of it is reported.
    """
    problems = cpu_problems() or machine_problems(config)
    if problems:
        raise InvalidConfigError(problems)


def _other_machines() -> dict[str, str]:
    """Address by id of the live machines except this one."""
    own = own_node()
    return {each.node: each.address for each in machines() if each.node != own}


def _local_files(source: Mapping[str, Any]) -> list[str]:
    """Absolute paths and patterns of a source's files, without URLs."""
    found = source.get("paths", ())
    parts = found.values() if isinstance(found, Mapping) else [found]
    flat = [each for part in parts for each in ([part] if isinstance(part, str) else part)]
    return [str(Path(each).absolute()) for each in flat if "://" not in each]


def _ask(
    machines: Mapping[str, str], paths: Mapping[str, str], files: list[str], token: str
) -> list[str]:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(each, soft=False)).remote(
            paths, files, token
        ): address
        for each, address in machines.items()
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_DEADLINE_S)
    problems = [
        f"cluster: the machine {asked[each]} starts no worker within {_DEADLINE_S:.0f} s; see its"
        " Ray logs, or stop it"
        for each in silent
    ]
    for each in answered:
        try:
            lacks = ray.get(each)
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
            problems.append(f"cluster: the machine {asked[each]} runs no task ({cause})")
            continue
        problems += [
            f"{lack} on the machine {asked[each]}; use a folder that all machines share"
            for lack in lacks
        ]
    return problems


def _look(paths: Mapping[str, str], files: list[str], token: str) -> list[str]:
    """The folders, each known by a file in it, and the files that this machine lacks."""
    lacks = []
    for key, path in paths.items():
        try:
            same = Path(path).read_text() == token
        except OSError:
            same = False
        if not same:
            lacks.append(f"{key}: {Path(path).parent} is absent or another folder")
    absent = [each for each in files if not glob.glob(each)]  # noqa: PTH207 - absolute patterns
    return lacks + [f"data.source.paths: {each} is absent" for each in absent]
