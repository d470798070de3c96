"""Where a bundle comes from: data, sweep, trial and the packages that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import Field

from rayml.types import settings

_PACKAGES = ("rayml", "ray", "torch", "optuna", "numpy", "pandas", "pyarrow", "safetensors")


def package_versions(further: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the installed packages that decide what a bundle computes.

    Args:
        further: packages that its model needs besides.
    """
    found = {}
    for name in (*_PACKAGES, *further):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was not installed
            continue
    return found


@settings
class Lineage:
    """The origin of a bundle; what makes the same bundle again.

    Attributes:
        data_hash: hash of the prepared dataset.
        source_fingerprint: fingerprint of the source of that dataset.
        sweep: name of the sweep.
        trial: number of the trial in the study.
        params: searched values of the trial, at its best epoch.
        seed: seed of the training; of an ensemble that of its first member.
        members: seeds of all members of an ensemble.
        folds: of each member the fold of the training rows that it did not train on; empty where
            a split validates.
        selected: of an ensemble that was selected among models of several trials the `trial`,
            `seed`, `votes` and `params` of each member, group by group.
        packages: installed versions by name.
        schedule: where values changed during training, the epochs `first` to `last` with the
            `trial` that trained them and its `params`; empty where none changed.
    """

    data_hash: str
    source_fingerprint: str
    sweep: str
    trial: int
    params: Mapping[str, Any]
    seed: int
    members: tuple[int, ...] = ()
    selected: tuple[Mapping[str, Any], ...] = ()
    packages: Mapping[str, str] = Field(default_factory=package_versions)
    schedule: tuple[Mapping[str, Any], ...] = ()
    folds: tuple[int, ...] = ()
