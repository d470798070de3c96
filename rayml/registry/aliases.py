"""Aliases of a model's versions, changed by compare-and-set."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rayml.errors import RegistryError
from rayml.registry.lock import locked
from rayml.storage.bounded import read_bounded
from rayml.storage.disk import write

RESERVED = "latest"
MOST_BYTES = 1 << 20
"""Limit of a file of aliases or of a release, in bytes; they take some hundred."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Aliases:
    """The aliases of one model, in one JSON file beside its versions.

    Args:
        folder: of the model in the registry.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "aliases.json"
        self._lock = folder / ".lock"

    def read(self) -> dict[str, int]:
        """All aliases with their versions.

        Raises:
            RegistryError: the file is not what `move` writes.
        """
        try:
            content = json.loads(read_bounded(self._file, MOST_BYTES))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise self._torn() from error
        if not isinstance(content, dict):
            raise self._torn()
        if not all(type(number) is int for number in content.values()):
            raise self._torn()
        return content

    def move(self, alias: str, version: int, *, expected: int | None) -> None:
        """Point an alias at a version, if nobody else has moved it.

        Args:
            alias: lower-case name.
            version: number of an existing version.
            expected: the version that the alias points at now; None where it is unset.

        Raises:
            RegistryError: the name cannot be an alias, or someone else moved it first.
        """
        if alias == RESERVED or not _NAME.fullmatch(alias):
            raise RegistryError(
                "this name cannot be an alias",
                found=alias,
                remedy="Use at most 64 lower-case letters, digits, - and _, the first a letter, "
                f"and another word than {RESERVED}",
            )
        with locked(self._lock):
            aliases = self.read()
            require_still(alias, aliases.get(alias), version, expected=expected)
            self._write({**aliases, alias: version})

    def _write(self, aliases: dict[str, int]) -> None:
        # One writer at a time holds the lock.
        write(self._file, json.dumps(aliases, indent=1, sort_keys=True), synced=True)

    def _torn(self) -> RegistryError:
        return RegistryError(
            f"{self._file} is no JSON object of version numbers",
            remedy="Mend the file, or remove it and set the aliases again",
        )


def require_still(alias: str, current: int | None, version: int, *, expected: int | None) -> None:
    """Check that nobody else has moved an alias since the caller read it.

    Raises:
        RegistryError: someone else moved it first.
    """
    if current != expected:
        raise RegistryError(
            f"{alias} was not moved to {version}: it points at {_shown(current)} now, not at"
            f" {_shown(expected)}",
            remedy="Someone else moved it first: look at it again, then decide",
        )


def _shown(version: int | None) -> str:
    return "nothing" if version is None else str(version)
