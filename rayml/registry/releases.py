"""The release of one model as a file, changed by compare-and-swap, with its journal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rayml.errors import RegistryError
from rayml.registry.aliases import MOST_BYTES
from rayml.registry.lock import locked
from rayml.registry.release import FORMAT, Release
from rayml.storage.bounded import TooLargeError, read_bounded
from rayml.storage.disk import append, explained, write

FILE = "release.json"
JOURNAL = "release.jsonl"
_RELEASE: TypeAdapter[Release] = TypeAdapter(Release)


class Releases:
    """The release of one model, in one file beside its versions.

    The file holds the release and its change; the journal `release.jsonl` repeats the change once
    it is in force. Where a writer dies between the two, the next one writes the missing line.

    Args:
        folder: of the model in the registry.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        self.journal = folder / JOURNAL
        self._lock = folder / ".lock"

    def read(self) -> Release:
        """The release; one without a champion before the first promotion.

        Raises:
            RegistryError: the file is torn, or a newer rayml wrote it.
        """
        try:
            content = read_bounded(self.file, MOST_BYTES)
        except FileNotFoundError:
            return Release()
        except TooLargeError as error:
            raise RegistryError(
                f"{self.file} cannot be read ({error})", remedy=self._remedy()
            ) from error
        try:
            written = json.loads(content)["format"]
            if written == FORMAT:
                return _RELEASE.validate_json(content)
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            raise RegistryError(
                f"{self.file} is no release as `rayml promote` writes it", remedy=self._remedy()
            ) from error
        raise RegistryError(
            f"{self.file} has a format that this rayml cannot read (it reads {FORMAT})",
            found=written,
            remedy="Upgrade rayml",
        )

    def change(
        self, transition: Callable[[Release], Release], *, expected: int | None = None
    ) -> Release:
        """Put the release that follows in force.

        Args:
            transition: pure; gives the next release, or the same one for no change.
            expected: revision that the caller has seen; None takes the present one.

        Raises:
            RegistryError: someone else changed the release first, or the transition refuses.
        """
        with locked(self._lock):
            release = self.read()
            if expected is not None and release.revision != expected:
                change = release.change
                raise RegistryError(
                    f"the release is at revision {release.revision} now, not {expected}"
                    f" ({change.action} of version {change.version}: {change.reason})",
                    remedy="Someone else changed it first: look at it again, then decide",
                )
            following = transition(release)
            if following != release:
                self._note(release)
                self._write(following)
                self._note(following)
            return following

    def history(self) -> Iterator[dict[str, Any]]:
        """All changes, the oldest first: `revision`, `champion` and the fields of `Change`."""
        noted = 0
        if self.journal.exists():
            for line in self.journal.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # its writer died within the line; the next one wrote it again
                noted = entry["revision"]
                yield entry
        release = self.read()
        if release.revision > noted:
            yield _entry(release)

    def _remedy(self) -> str:
        return f"Restore the file; the last line of {self.journal.name} says what it held"

    def _write(self, release: Release) -> None:
        # One writer at a time holds the lock.
        write(self.file, _RELEASE.dump_json(release, indent=1) + b"\n", synced=True)

    def _note(self, release: Release) -> None:
        """Append the change of a release to the journal, if it is not its last one already."""
        last = b""
        if self.journal.exists():
            last = self.journal.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2]
        try:
            noted = json.loads(last)["revision"] if last else 0
        except ValueError:
            noted = -1
        if release.revision <= max(noted, 0):
            return
        line = json.dumps(_entry(release)).encode() + b"\n"
        with explained(self.journal), self.journal.open("ab+", buffering=0) as out:
            torn = bool(out.tell()) and not self._ends_a_line()
            append(out.fileno(), b"\n" * torn + line, self.journal)
            os.fsync(out.fileno())

    def _ends_a_line(self) -> bool:
        with self.journal.open("rb") as content:
            content.seek(-1, os.SEEK_END)
            return content.read(1) == b"\n"


def _entry(release: Release) -> dict[str, Any]:
    plain = _RELEASE.dump_python(release, mode="json")
    change: dict[str, Any] = plain["change"]
    return {"revision": release.revision, **change, "champion": release.champion}
