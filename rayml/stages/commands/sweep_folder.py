"""Finds the folder of a sweep by its name, and reads its config."""

from __future__ import annotations

from pathlib import Path

from rayml.config.stored import StoredConfig, read_stored
from rayml.errors import ConfigError

CONFIG = "config.yaml"


def find_sweep(sweeps: str | Path, name: str | None) -> Path:
    """Folder of a sweep by name; None is the latest one.

    Raises:
        ConfigError: there is no such sweep.
    """
    sweeps = Path(sweeps)
    found = sorted(sweeps.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    names = [path.parent.name for path in found]
    if not names or (name is not None and name not in names):
        raise ConfigError(
            f"there is no sweep {name!r} in {sweeps}" if name else f"there is no sweep in {sweeps}",
            remedy=f"The latest are {', '.join(names[-5:])}"
            if names
            else "Run `rayml sweep` first",
        )
    return sweeps / (name or names[-1])


def config_of_sweep(folder: Path) -> StoredConfig:
    """The config that a sweep was started with, from its file.

    Raises:
        ConfigError: its file cannot be read.
    """
    return read_stored(folder / CONFIG)
