"""Finds the files of published data sets in a folder, or downloads and checks them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rayml.errors import SourceError

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Archive:
    """A published ZIP file.

    Attributes:
        url: of the ZIP file.
        members: SHA-256 of each file that it holds.
        other: SHA-256 of earlier publications of a file, which are accepted if they are present.
    """

    url: str
    members: Mapping[str, str]
    other: Mapping[str, str]

    def files(self, folder: Path, *, download: bool) -> dict[str, tuple[Path, str]]:
        """Find the members in a folder, or download those that it lacks.

        Returns:
            Path and SHA-256 of each member.

        Raises:
            SourceError: a file is absent and cannot be downloaded, or differs from the published
                one.
        """
        absent = [name for name in self.members if not (folder / name).is_file()]
        if absent and not download:
            raise self._absent(folder, absent, "download is off")
        if absent:
            self._download(folder, absent)
        return {name: self._checked(folder / name) for name in self.members}

    def _checked(self, path: Path) -> tuple[Path, str]:
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SourceError(
                f"{path} cannot be read ({error.strerror})", remedy="Check its permissions"
            ) from error
        if digest not in {self.members[path.name], self.other.get(path.name)}:
            raise SourceError(
                f"{path} differs from the published file: its SHA-256 is {digest}",
                remedy=f"Delete it, so that it is downloaded again from {self.url}",
            )
        return path, digest

    def _download(self, folder: Path, names: list[str]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as stream:
                with urllib.request.urlopen(self.url, timeout=TIMEOUT_S) as answer:  # noqa: S310  # a constant
                    while piece := answer.read(2**20):
                        stream.write(piece)
                with zipfile.ZipFile(stream) as archive:
                    inner = {PurePosixPath(name).name: name for name in archive.namelist()}
                    for name in names:
                        _write(folder / name, archive.read(inner[name]), self.members[name])
        except KeyError as error:
            raise self._absent(folder, names, f"the archive lacks {error}") from error
        except (OSError, zipfile.BadZipFile) as error:  # URLError is an OSError
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is an open answer too
            raise self._absent(folder, names, str(error)) from error

    def _absent(self, folder: Path, names: list[str], reason: str) -> SourceError:
        return SourceError(
            f"the folder {folder.absolute()} lacks {', '.join(names)} ({reason})",
            remedy=f"Download {self.url} and unpack these files into that folder",
        )


def _write(path: Path, content: bytes, expected: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise SourceError(
            f"the downloaded {path.name} differs from the published file: its SHA-256 is {digest},"
            f" not {expected}",
            remedy=f"Try again, or put the file at {path.absolute()}",
        )
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)  # mkstemp lets only the owner read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
