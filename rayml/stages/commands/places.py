"""The folder of a model's endpoints, with their logs and the status of their replicas."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rayml.serve.observe.access_log import STDOUT, on_its_way

if TYPE_CHECKING:
    from rayml.config.schema import Config, ServeConfig
    from rayml.settings.serve import ServeSettings


def state_folder(config: Config) -> Path:
    """The folder of a model's endpoints."""
    given = config.serve.state_folder
    return Path(given or Path(config.paths.endpoints) / config.name).resolve()


def with_places(config: Config) -> ServeConfig:
    """Settings with the folder of the endpoints, which is made, and the log of replicas.

    The port is part of the log's name, since one model may have several endpoints on a machine.
    """
    serve, folder = config.serve, state_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    file = Path(serve.log.file or folder / f"replicas-{serve.port}.log").resolve()
    return replace(serve, state_folder=str(folder), log=replace(serve.log, file=str(file)))


def shown_files(settings: ServeSettings) -> dict[Path, IO[bytes]]:
    """The files that the terminal of an endpoint shows, with the stream of each."""
    if settings.log.file is None:
        return {}
    log = Path(settings.log.file)
    shown = {log: sys.stderr.buffer}
    return shown | ({on_its_way(log): sys.stdout.buffer} if settings.access_log == STDOUT else {})
