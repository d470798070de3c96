"""Finds the files that paths, folders, globs and URLs name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import fsspec.core
import fsspec.utils
import pyarrow as pa
from pyarrow import fs

from rayml.errors import SourceError

_MAGIC = re.compile(r"[*?\[]")
_COMPRESSED = r"(\.(gz|bz2|zst|lz4|br))?$"
SUFFIXES = {
    "csv": re.compile(r"\.(csv|tsv|txt)" + _COMPRESSED, re.IGNORECASE),
    "parquet": re.compile(r"\.(parquet|pq)$", re.IGNORECASE),
}
ENDINGS = {"csv": (".csv", ".tsv", ".txt", "the same with .gz"), "parquet": (".parquet", ".pq")}
_NATIVE = ("file", "s3", "gs", "hdfs", "abfs", "abfss")
_USER = re.compile(r"(\w://)[^/\s'\"]*@")
_QUERY = re.compile(r"(?<=\w)\?[^\s'\"]*=[^\s'\"]*")
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a source.

    Attributes:
        filesystem: that holds it.
        path: in that filesystem.
        name: for messages, without a password or a signature.
        size: in bytes; None if the filesystem does not know it.
        mtime_ns: time of its last change; None if the filesystem does not know it.
        partitions: names and values of the `key=value` folders that it lies in.
    """

    filesystem: fs.FileSystem
    path: str
    name: str
    size: int | None
    mtime_ns: int | None
    partitions: tuple[tuple[str, str | None], ...] = ()


def find_files(paths: str | Sequence[str], kind: str) -> tuple[DataFile, ...]:
    """Find files, in the order of `paths`, and sorted by path within each.

    A folder means the files under it, at any depth, with a suffix of this kind; names that begin
    with `.` or `_` are left out, as writers of such folders expect.

    Args:
        paths: files, folders, globs (`*`, `?`, `[…]`, and `**` for folders at any depth), or
            URLs of those, of any scheme that pyarrow or fsspec knows.
        kind: `csv` or `parquet`.

    Raises:
        SourceError: a path names no file, or its filesystem cannot be used.
    """
    found: dict[str, DataFile] = {}
    for path in [paths] if isinstance(paths, str) else paths:
        for file in _find(path, kind):
            found.setdefault(file.name, file)
    files = tuple(found.values())
    if not files:
        raise SourceError(
            "data.source.paths names no file", found=paths, remedy="Name files or folders"
        )
    check_partitions(files)
    return files


def _find(url: str, kind: str) -> Iterable[DataFile]:
    shown = safe(url)
    try:
        filesystem, path = _resolve(url)
        infos, base = _infos(filesystem, path, kind)
    except (OSError, ValueError, ImportError, pa.ArrowException) as error:
        raise SourceError(
            f"{shown} cannot be opened ({type(error).__name__}: {safe(str(error))})",
            remedy="Check the path and the credentials; some URLs need a package for fsspec",
        ) from None  # the cause's own text may hold what `safe` removed
    if not infos:
        raise _no_files(filesystem, path, shown, kind)
    scheme = "" if isinstance(filesystem, fs.LocalFileSystem) else urlsplit(url).scheme
    for info in sorted(infos, key=lambda info: str(info.path)):
        inner = str(info.path)
        name = safe(inner if not scheme or "://" in inner else f"{scheme}://{inner}")
        yield DataFile(filesystem, inner, name, info.size, info.mtime_ns, _partitions(inner, base))


def _no_files(filesystem: fs.FileSystem, path: str, shown: str, kind: str) -> SourceError:
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        suffixes = ", ".join(ENDINGS[kind])
        return SourceError(
            f"the folder {shown} has no {kind} files",
            remedy=f"Check its files: those that end in {suffixes} are read",
        )
    if _before_magic(path)[1]:
        return SourceError(f"no file matches {shown}", remedy="Check the pattern")
    return SourceError(f"file not found: {shown}", remedy="Check the path")


def _resolve(url: str) -> tuple[fs.FileSystem, str]:
    scheme = urlsplit(url).scheme
    if "://" not in url and "::" not in url:
        return fs.LocalFileSystem(), Path(url).expanduser().absolute().as_posix()
    if scheme in _NATIVE and "::" not in url:
        base, rest = _before_magic(url)  # pyarrow reads no glob in a URI
        filesystem, path = fs.FileSystem.from_uri(base)
        return filesystem, f"{path}/{rest}" if rest else path
    other, path = fsspec.core.url_to_fs(url)
    return fs.PyFileSystem(fs.FSSpecHandler(other)), str(path)


def _infos(filesystem: fs.FileSystem, path: str, kind: str) -> tuple[list[fs.FileInfo], str]:
    """Files that a path means, and the folder whose subfolders may be partitions."""
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        return [info], str(PurePosixPath(path).parent)
    if info.type == fs.FileType.Directory:
        return [i for i in _below(filesystem, path) if _is_data(i.path, path, kind)], path
    base, rest = _before_magic(path)
    if not rest:
        return [], path
    pattern = re.compile(fsspec.utils.glob_translate(path))
    return [i for i in _below(filesystem, base) if pattern.match(i.path)], base


def _before_magic(path: str) -> tuple[str, str]:
    """Split a path before its first part with a wildcard; the second half is empty without one."""
    magic = _MAGIC.search(path)
    if not magic:
        return path, ""
    base, _, _ = path[: magic.start()].rpartition("/")
    return base, path[len(base) + 1 :]


def _below(filesystem: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    selector = fs.FileSelector(folder, recursive=True)
    return [info for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]


def _is_data(path: str, base: str, kind: str) -> bool:
    inner = PurePosixPath(path).relative_to(base)
    return bool(SUFFIXES[kind].search(path)) and not any(
        part.startswith((".", "_")) for part in inner.parts
    )


def _partitions(path: str, base: str) -> tuple[tuple[str, str | None], ...]:
    found = []
    for part in PurePosixPath(path).relative_to(base).parts[:-1]:
        key, equals, value = part.partition("=")
        if equals:
            found.append((unquote(key), None if value == _HIVE_NULL else unquote(value)))
    return tuple(found)


def check_partitions(files: Sequence[DataFile]) -> None:
    """Check that files have the same partition columns.

    Raises:
        SourceError: they do not.
    """
    first = [key for key, _ in files[0].partitions]
    for file in files:
        keys = [key for key, _ in file.partitions]
        if keys != first or len(set(keys)) < len(keys):
            raise SourceError(
                f"the key=value folders of {files[0].name} and {file.name} differ",
                found=[first, keys],
                remedy="Name files or a folder with the same levels of key=value folders",
            )


def safe(text: str) -> str:
    """Text without the users, passwords and signatures of the URLs in it."""
    return _QUERY.sub("", _USER.sub(r"\1", text))
