"""The files of estimators: `members/<number>/<name>` of a group, from 0, one folder a member."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rayml.errors import BundleError
from rayml.models.estimators.files import MOST_FILES, require_plain
from rayml.registry.bundle.manifest import Manifest, read_verified

FOLDER = "members"


def write_members(folder: Path, owner: str, members: Sequence[Mapping[str, bytes]]) -> None:
    """Write the files of a group's estimators.

    Args:
        folder: of the group.
        owner: name of the estimators' class, for messages.
        members: of each the files by name.

    Raises:
        TrainError: one is no plain file.
    """
    for number, files in enumerate(members):
        require_plain(owner, files)
        own = folder / FOLDER / str(number)
        own.mkdir(parents=True)
        for name, content in files.items():
            (own / name).write_bytes(content)


def read_members(
    folder: Path, manifest: Manifest, count: int, *, group: str = ""
) -> list[dict[str, bytes]]:
    """Read the files of a group's estimators, each of the size and SHA-256 of the manifest.

    Args:
        folder: of the bundle.
        manifest: of the bundle.
        count: of the group's members.
        group: folder of the group in the bundle, with a slash at its end; empty for the only one.

    Raises:
        BundleError: there are files of fewer or more members, or too many of one; or a file is
            not the one that was verified.
    """
    found: dict[str, list[str]] = {}
    for path in manifest.files:
        if path.startswith(f"{group}{FOLDER}/"):
            own, name = os.path.split(path)
            found.setdefault(own, []).append(name)
    wanted = [f"{group}{FOLDER}/{number}" for number in range(count)]
    if sorted(found) != sorted(wanted):
        raise BundleError(
            f"the bundle holds the files of {len(found)} members, and bundle.json names {count}",
            found=str(folder),
            remedy="Copy the bundle again from where it was written",
        )
    for own, names in found.items():
        if len(names) > MOST_FILES:
            raise BundleError(
                f"{own} of the bundle holds {len(names)} files; a member has {MOST_FILES} at most",
                found=str(folder),
                remedy="Do not load it",
            )
    return [
        {name: _read(folder, f"{own}/{name}", manifest) for name in found[own]} for own in wanted
    ]


def _read(folder: Path, path: str, manifest: Manifest) -> bytes:
    return read_verified(folder, path, manifest, manifest.files[path].size)
