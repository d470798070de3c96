"""Where a bundle comes from: data, sweep, trial and the packages that made it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import Field

from rayml.types import settings

_PACKAGES = ("rayml", "ray", "torch", "optuna", "numpy", "pandas", "pyarrow", "safetensors")


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that decide what a bundle computes."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was not installed
            continue
    return found


@settings
class Lineage:
    """What has to be the same to make the same bundle again.

    Attributes:
        data_hash: of the prepared dataset.
        source_fingerprint: of the source that it was prepared from.
        sweep: name of the sweep.
        trial: its number in the study.
        params: searched values of the trial, at its best epoch.
        seed: of the training; of an ensemble that of its first member.
        members: seeds of all members of an ensemble.
        packages: installed versions by name.
        schedule: where values changed while it trained, the epochs `first` to `last` with the
            `trial` that trained them and its `params`; empty where they did not.
    """

    data_hash: str
    source_fingerprint: str
    sweep: str
    trial: int
    params: Mapping[str, Any]
    seed: int
    members: tuple[int, ...] = ()
    packages: Mapping[str, str] = Field(default_factory=package_versions)
    schedule: tuple[Mapping[str, Any], ...] = ()
