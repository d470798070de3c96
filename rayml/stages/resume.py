"""Continues a sweep: as it was, or with a larger budget and another space."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rayml.config.components.trust import Trust
from rayml.config.compose import Composed
from rayml.config.secrets import MASK, masked
from rayml.config.stored import changed_keys, recompose
from rayml.errors import ConfigError, InvalidConfigError, SearchError
from rayml.search.journal.repair import mend
from rayml.search.journal.sweep_status import SweepStatus, read_status
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.search.space.space import lookup
from rayml.settings.serve import is_loopback
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep, find_sweep

_RELATIVE = re.compile(r"(search\.(?:trials|seconds|epochs|cost))=\+([0-9.eE+]+)")
# A resumed sweep may run in another place and another way; what it searches stays.
_RESUME = (
    "search.concurrency",
    "search.resources",
    "search.max_failures",
    "search.storage",
    "search.warm_start",
    "confirm",
    "cluster",
    "paths",
)
_EXTEND = ("search", "space", "confirm", "cluster", "paths")
_NEVER = ("search.name",)


def find_stored(sweeps: str, name: str, trust: Trust) -> tuple[Path, Composed]:
    """Folder and config of a sweep that continues.

    Raises:
        ConfigError: there is no such sweep, or its config cannot be read or names a component
            that is not trusted.
    """
    folder = find_sweep(sweeps, name)
    return folder, config_of_sweep(folder).trusted(trust)


def mend_journal(folder: Path) -> None:
    """Repair the journal of a sweep that continues, and print what was lost.

    Raises:
        SearchError: a process writes it, or it cannot be repaired.
        StorageError: the disk has no room for the repaired one.
    """
    journal = folder / JOURNAL
    if journal.is_file() and (lost := mend(journal)):
        show.line(f"the journal of {folder.name} was damaged: {lost}")


def resumed_config(
    stored: Composed, folder: Path, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> Composed:
    """The config to resume a sweep with.

    Args:
        stored: the sweep's config.
        folder: of the sweep.
        overrides: of where and how it runs; what it searches stays.
        config_dirs: the user's own folders of config groups.

    Raises:
        InvalidConfigError: overrides do not apply.
        ConfigError: one changes the search, or a password is missing.
    """
    return _changed(stored, folder, overrides, config_dirs, _RESUME, "resumed")


def extended_config(
    stored: Composed, folder: Path, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> Composed:
    """The config to extend a sweep with.

    Args:
        stored: the sweep's config.
        folder: of the sweep.
        overrides: of the budgets (`search.trials=+100` adds to them), the space, and how it
            searches; the data, the model and the training stay.
        config_dirs: the user's own folders of config groups.

    Raises:
        InvalidConfigError: overrides do not apply.
        ConfigError: one changes what a trial is, or a password is missing.
    """
    absolute = [_absolute(text, stored.plain) for text in overrides]
    return _changed(stored, folder, absolute, config_dirs, _EXTEND, "extended")


def require_more(folder: Path, composed: Composed) -> SweepStatus:
    """The status of a sweep that is extended, if its budget has something left.

    Raises:
        SearchError: it runs, or its budget is spent.
    """
    status, search = read_status(folder / JOURNAL), composed.typed().search
    if status.is_over(search):
        raise SearchError(
            f"the budget of sweep {folder.name} is spent: {status.finished} trials are finished",
            remedy="Add trials with search.trials=+N, or seconds with search.seconds=+N",
        )
    return status


def _changed(
    stored: Composed,
    folder: Path,
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    allowed: Sequence[str],
    verb: str,
) -> Composed:
    composed = recompose(stored, overrides, config_dirs)
    _require_own_cluster(stored.plain, overrides, folder)
    refused = [
        key
        for key in changed_keys(stored.plain, composed.plain)
        if not _below(key, allowed) or _below(key, _NEVER)
    ]
    if refused:
        raise ConfigError(
            f"a sweep cannot change {', '.join(refused)} when it is {verb}, only"
            f" {', '.join(allowed)}",
            remedy=f"Start another sweep with search.warm_start=[{folder.name}]"
            if verb == "extended"
            else f"Use `rayml sweep extend={folder.name}` to change search or space",
        )
    _require_password(stored.plain["search"].get("storage"), composed.plain["search"])
    return composed


def _require_own_cluster(stored: dict[str, Any], overrides: Sequence[str], folder: Path) -> None:
    """Check that a file alone does not choose the cluster: a cluster may run code here."""
    address = stored.get("cluster", {}).get("address")
    host = str(address).removeprefix("ray://").rpartition(":")[0].strip("[]")
    if address in {None, "auto"} or is_loopback(host):
        return
    keys = {each.lstrip("+~").partition("=")[0] for each in overrides}
    if not keys & {"cluster", "cluster.address"}:
        raise ConfigError(
            f"the stored config of {folder.name} names the cluster {address}, and the command does"
            " not",
            remedy=f"Add cluster.address={address} if you know it, or cluster=local",
        )


def _require_password(stored: str | None, search: dict[str, Any]) -> None:
    """Check that a database is given with its password, and is the sweep's own."""
    given = search.get("storage")
    if given is not None and MASK in given:
        raise ConfigError(
            f"the password of search.storage={given} is not stored",
            remedy="Give search.storage=… with its password",
        )
    if given is not None and stored is not None and masked(given) != stored:
        raise ConfigError(
            f"search.storage={masked(given)} is not the database of this sweep",
            remedy=f"Use {stored}, with its password",
        )


def _absolute(text: str, plain: dict[str, Any]) -> str:
    """`search.trials=+100` as the sum of the present value and 100."""
    found = _RELATIVE.fullmatch(text)
    if found is None:
        return text
    key, more = found.groups()
    try:
        before = lookup(plain, key)
    except KeyError:
        before = None
    try:
        number = int(more) if more.isdigit() else float(more)
    except ValueError as error:
        raise InvalidConfigError([f"{text}: {more!r} is not a number"]) from error
    if before is None:
        raise InvalidConfigError([f"{text}: {key} has no value to add to; remove the +"])
    return f"{key}={before + number}"


def _below(key: str, sections: Sequence[str]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in sections)
