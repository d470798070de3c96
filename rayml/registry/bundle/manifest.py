"""The manifest of a bundle: the size and SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from rayml.errors import BundleError
from rayml.registry.bundle.signing import SEAL, require_signed
from rayml.storage.bounded import TooLargeError, read_bounded
from rayml.types import Size, settings

MANIFEST = "manifest.json"
# 1: one model. 2: `bundle.json` knows ensembles and confirmations, the rest is the same. 3: files
# of estimators take the place of weights. 4: members of several structures, in folders of their
# own. 5: `bundle.json` has a temperature. 6: it has a decision rule. 7: there are columns of texts.
# Bundles without them stay readable to an older rayml.
FORMAT = 2
FORMAT_OF_MEMBERS = 3
FORMAT_OF_GROUPS = 4
FORMAT_OF_TEMPERATURE = 5
FORMAT_OF_RULES = 6
FORMAT_OF_TEXTS = 7
_READABLE = (1, 2, 3, 4, 5, 6, 7)

# A bundle has about ten files, four folders deep.
_MOST_BYTES = 1 << 20
_MOST_FILES = 1000
_MOST_LEVELS = 8

_UNLISTED = (MANIFEST, SEAL)

_REMEDY = "Copy the bundle again from where it was written"


@settings
class FileRecord:
    """Size of a file in bytes, and its SHA-256 in hex."""

    size: Size
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@settings
class Manifest:
    """The files of a bundle by relative POSIX path, without the manifest and its seal."""

    format: int
    files: dict[str, FileRecord]


_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def write_manifest(folder: Path, version: int = FORMAT) -> None:
    """Record every file below a folder in its manifest, and flush them all to the disk."""
    files = {path: _record(folder / path) for path in sorted(_listed(folder))}
    manifest = Manifest(format=version, files=files)
    text = json.dumps(_MANIFEST.dump_python(manifest), indent=1, sort_keys=True)
    with (folder / MANIFEST).open("w", encoding="utf-8") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())


def verify(folder: Path, signers: Sequence[bytes] = ()) -> str:
    """Check that a folder holds exactly the files of its manifest, unaltered.

    Args:
        folder: folder of the bundle.
        signers: raw public keys, one of which must have signed the manifest; where the list is
            empty, no seal is needed.

    Returns:
        The SHA-256 of the manifest, which identifies the content of the whole bundle.

    Raises:
        BundleError: see `verified`.
    """
    return verified(folder, signers)[1]


def verified(folder: Path, signers: Sequence[bytes] = ()) -> tuple[Manifest, str]:
    """Check a folder as `verify` does, and return the manifest too.

    Files that are read later are checked against it again, since a file can change after it was
    verified.

    Raises:
        BundleError: no signer has signed the manifest; a file is missing, extra, altered or no
            regular file; the manifest is absent, torn, too large or written by a newer rayml. The
            message names the file.
    """
    manifest, digest = read_manifest(folder, signers)
    present = set(_listed(folder))
    for path in sorted(manifest.files.keys() - present):
        raise BundleError(f"{path} of the bundle {folder} is missing", remedy=_REMEDY)
    for path in sorted(present - manifest.files.keys()):
        raise BundleError(
            f"the bundle {folder} holds a file that its {MANIFEST} does not name",
            found=path,
            remedy="Remove the file",
        )
    for path, expected in manifest.files.items():
        _compare(folder / path, path, expected)
    return manifest, digest


def read_manifest(folder: Path, signers: Sequence[bytes] = ()) -> tuple[Manifest, str]:
    """Read a manifest after verifying its seal; no other file of the bundle is read.

    Returns:
        The manifest and its SHA-256.

    Raises:
        BundleError: no signer has signed the manifest, or it is absent, torn, too large or
            written by a newer rayml.
    """
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{folder} is no bundle: it holds no file {MANIFEST}", remedy=_REMEDY)
    try:
        content = read_bounded(path, _MOST_BYTES)
    except (OSError, TooLargeError) as error:
        raise BundleError(
            f"{MANIFEST} of the bundle cannot be read ({error})", found=str(path), remedy=_REMEDY
        ) from error
    require_signed(content, folder, signers)
    _refuse_newer(content, path)
    try:
        manifest = _MANIFEST.validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise BundleError(
            f"{MANIFEST} of the bundle cannot be read ({problem})",
            found=str(path),
            remedy=_REMEDY,
        ) from error
    if len(manifest.files) > _MOST_FILES:
        raise BundleError(
            f"{MANIFEST} names {len(manifest.files):,} files, and a bundle has at most"
            f" {_MOST_FILES:,}",
            found=str(path),
            remedy="Do not load it",
        )
    for name in manifest.files:
        _refuse_escape(name)
    return manifest, hashlib.sha256(content).hexdigest()


def _refuse_newer(content: bytes, path: Path) -> None:
    # Read before all else: a newer format may differ in any other key.
    try:
        version = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{MANIFEST} of the bundle is not JSON with a format", found=str(path), remedy=_REMEDY
        ) from error
    if version not in _READABLE:
        raise BundleError(
            f"{path} has a format that this rayml cannot read (it reads"
            f" {', '.join(map(str, _READABLE))})",
            found=version,
            remedy="Upgrade rayml",
        )


def _refuse_escape(name: str) -> None:
    path = PurePosixPath(name)
    plain = name == str(path) and not path.is_absolute() and ".." not in path.parts
    if not plain or "\\" in name or "\0" in name or name in {".", *_UNLISTED}:
        raise BundleError(
            f"{MANIFEST} names a file that is not inside its folder",
            found=name,
            remedy="Do not load it",
        )


def read_verified(folder: Path, name: str, manifest: Manifest, most: int) -> bytes:
    """Read a file of a bundle and check it against the manifest.

    Args:
        folder: folder of the bundle.
        name: relative POSIX path of the file.
        manifest: manifest of the bundle.
        most: largest size in bytes.

    Raises:
        BundleError: the file is absent, too large, or altered.
    """
    record, path = manifest.files.get(name), folder / name
    try:
        if record is None:
            raise FileNotFoundError("the manifest does not name it")
        content = read_bounded(path, most)
    except (OSError, TooLargeError) as error:
        raise BundleError(
            f"{name} of the bundle cannot be read ({error})", found=str(path), remedy=_REMEDY
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != record.sha256:
        raise _altered(name, record, digest)
    return content


def _listed(folder: Path) -> list[str]:
    """The files that a manifest lists; the walk stops with an error where there are too many."""
    found = []
    for path in _files(folder, 0):
        if path not in _UNLISTED:
            found.append(path)
        if len(found) > _MOST_FILES:
            raise BundleError(
                f"{folder} holds more than {_MOST_FILES:,} files, the most of any bundle",
                remedy="Do not load it",
            )
    return found


def _files(folder: Path, level: int) -> Iterator[str]:
    """Relative POSIX paths of all files below a folder; a link is an error."""
    if level > _MOST_LEVELS:
        raise BundleError(
            f"{folder} lies more than {_MOST_LEVELS} levels deep, the most of any bundle",
            remedy="Do not load it",
        )
    for entry in folder.iterdir():
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise BundleError(
                f"{entry} is a link or another special file, which no bundle holds",
                remedy="Replace it by the file itself",
            )
        if entry.is_dir():
            yield from (f"{entry.name}/{path}" for path in _files(entry, level + 1))
        else:
            yield entry.name


def _record(path: Path) -> FileRecord:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        os.fsync(content.fileno())
    return FileRecord(size=path.stat().st_size, sha256=digest)


def _compare(path: Path, name: str, expected: FileRecord) -> None:
    size = path.stat().st_size
    if size != expected.size:
        raise BundleError(
            f"{name} of the bundle was altered: it has {size} bytes, not {expected.size}",
            remedy=_REMEDY,
        )
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != expected.sha256:
        raise _altered(name, expected, digest)


def _altered(name: str, expected: FileRecord, digest: str) -> BundleError:
    return BundleError(
        f"{name} of the bundle was altered: its SHA-256 is {digest}, not {expected.sha256}",
        remedy=_REMEDY,
    )
