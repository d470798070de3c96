"""Goes on with a sweep: as it was, or with a larger budget and another space."""

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
from rayml.search.problem.space import lookup
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.settings.serve import is_loopback
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep, find_sweep

_RELATIVE = re.compile(r"(search\.(?:trials|seconds|epochs|cost))=\+([0-9.eE+]+)")
# What a sweep may go on with in another way than it began: where and how it runs, not what.
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
    """Folder and config of a sweep that goes on.

    Raises:
        ConfigError: there is no such sweep, or its config cannot be read or names a component
            that is not trusted.
    """
    folder = find_sweep(sweeps, name)
    return folder, config_of_sweep(folder).trusted(trust)


def mend_journal(folder: Path) -> None:
    """Mend the journal of a sweep that goes on, and tell what was lost.

    Raises:
        SearchError: a process writes it, or it cannot be mended.
        StorageError: the disk has no room for the mended one.
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
        InvalidConfigError: overrides that do not apply.
        ConfigError: one that changes the search, or a password that is missing.
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
        InvalidConfigError: overrides that do not apply.
        ConfigError: one that changes what a trial is, or a password that is missing.
    """
    absolute = [_absolute(text, stored.plain) for text in overrides]
    return _changed(stored, folder, absolute, config_dirs, _EXTEND, "extended")


def require_more(folder: Path, composed: Composed) -> SweepStatus:
    """Where a sweep stands, for one that is extended.

    Raises:
        SearchError: it runs, or its budget is spent all the same.
    """
    status, search = read_status(folder / JOURNAL), composed.typed().search
    if status.is_over(search):
        raise SearchError(
            f"the sweep has nothing left to do: {status.finished} of {search.trials} trials are"
            " finished",
            remedy="Add trials by search.trials=+N, or seconds by search.seconds=+N",
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
            f"a sweep that is {verb} may change {', '.join(allowed)} alone",
            found=", ".join(refused),
            remedy="Start another sweep with search.warm_start=[" + folder.name + "]"
            if verb == "extended"
            else f"`rayml sweep extend={folder.name}` takes search and space",
        )
    _require_password(stored.plain["search"].get("storage"), composed.plain["search"])
    return composed


def _require_own_cluster(stored: dict[str, Any], overrides: Sequence[str], folder: Path) -> None:
    """A process runs what the cluster sends that it joins, so a file alone cannot say which one."""
    address = stored.get("cluster", {}).get("address")
    host = str(address).removeprefix("ray://").rpartition(":")[0].strip("[]")
    if address in {None, "auto"} or is_loopback(host):
        return
    keys = {each.lstrip("+~").partition("=")[0] for each in overrides}
    if not keys & {"cluster", "cluster.address"}:
        raise ConfigError(
            f"the config of {folder.name} names the cluster {address}, which is not joined on the"
            " word of a file",
            remedy=f"Add cluster.address={address} if you know it, or cluster=local",
        )


def _require_password(stored: str | None, search: dict[str, Any]) -> None:
    """A stored URL has no password; the one that is given instead names the same database."""
    given = search.get("storage")
    if given is not None and MASK in given:
        raise ConfigError(
            "a password is not stored, so a database that needs one is named again",
            found=given,
            remedy="Give search.storage=… with its password",
        )
    if given is not None and stored is not None and masked(given) != stored:
        raise ConfigError(
            "a sweep goes on with its own database", found=masked(given), remedy=f"It is {stored}"
        )


def _absolute(text: str, plain: dict[str, Any]) -> str:
    """`search.trials=+100` as the sum of what there is and 100."""
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
        raise InvalidConfigError([f"{text}: + is followed by a number"]) from error
    if before is None:
        raise InvalidConfigError([f"{text}: there is no {key} to add to; give it without the +"])
    return f"{key}={before + number}"


def _below(key: str, sections: Sequence[str]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in sections)
