"""CSV and Parquet files as a source."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pyarrow as pa
import pydantic

from rayml.config.problems import problems_of
from rayml.data.columns.origin import FILE, LINE, check_names
from rayml.data.columns.split_names import SPLIT
from rayml.data.delimited import csv_reader
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.sources import parquet_reader
from rayml.data.sources.location import DataFile, check_partitions, find_files
from rayml.data.sources.parquet_reader import ParquetPiece
from rayml.data.sources.tables import dataset_of
from rayml.errors import InvalidConfigError, SourceError

if TYPE_CHECKING:
    import ray.data

TASK_BYTES = 32 * 2**20  # of a read task, about, if there are enough files
HASHED_BYTES = 64 * 2**20  # larger files are identified by size and time of change
_READ_BYTES = 2**20
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")  # fits 64 bits; leading zeros would be lost

Part = TypeVar("Part")


class FileSource:
    """Rows of CSV or Parquet files.

    Values of `key=value` folders below a named folder (hive partitions) become columns.
    Files are decompressed by the suffix of their name (`.gz`, `.bz2`, `.zst`, `.lz4`, `.br`). One
    task reads one CSV file or several small ones, in pieces of bounded size.

    Args:
        paths: files, folders, globs or URLs, one or several; see `location.find_files`. A
            mapping from `train`, `validation` and `test` to those gives the splits by files:
            its keys become the values of a column `split`.
        format: `csv` or `parquet`.
        csv: dialect of CSV files, see `CsvSettings`.

    Raises:
        InvalidConfigError: a setting of `csv` is wrong.
    """

    def __init__(
        self,
        paths: str | Sequence[str] | Mapping[str, str | Sequence[str]],
        format: Literal["csv", "parquet"] = "csv",  # noqa: A002  # the word of the config
        csv: CsvSettings | Mapping[str, Any] | None = None,
    ) -> None:
        if format not in {"csv", "parquet"}:
            raise InvalidConfigError(
                [f"data.source.format: there is no {format!r}; use csv or parquet"]
            )
        self._paths = paths
        self._format = format
        self._csv = csv if isinstance(csv, CsvSettings) else _csv_settings(csv or {})

    @property
    def dialect(self) -> CsvSettings | None:
        """Dialect of the files; None for Parquet."""
        return self._csv if self._format == "csv" else None

    @property
    def gives_splits(self) -> bool:
        """Whether the files of each split are named, so that the column `split` is added."""
        return isinstance(self._paths, Mapping)

    @property
    def index_columns(self) -> tuple[str, ...]:
        """Columns that hold the index of a pandas table, which are not features.

        Raises:
            SourceError: the first file cannot be read.
        """
        if self._format == "csv":
            return ()
        return parquet_reader.pandas_index(self._files[0])

    def fingerprint(self) -> str:
        """Hash of the files' contents (of size and time of change, if large) and settings."""
        files = [[f.partitions, _identity(f)] for f in self._files]
        settings = dataclasses.asdict(self._csv) if self._format == "csv" else None
        if settings is not None and settings["decimal"] == ".":
            del settings["decimal"]  # the fingerprint is older than this setting
        text = json.dumps([self._format, settings, files], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self) -> ray.data.Dataset:
        """Rows of all files; CSV columns are strings, with null for missing.

        Raises:
            SourceError: files cannot be read, or disagree on their columns.
        """
        return self._read_csv() if self._format == "csv" else self._read_parquet()

    @cached_property
    def _files(self) -> tuple[DataFile, ...]:
        if isinstance(self._paths, Mapping):
            return _given_files(self._paths, self._format)
        return find_files(self._paths, self._format)

    def _read_csv(self) -> ray.data.Dataset:
        columns = self._csv.columns or _header(self._files, self._csv)
        types = {key: pa.string() for key in _keys(self._files)}
        check_names([*columns, *types])
        schema = pa.schema([*csv_reader.table_schema(columns), *types.items()])
        groups = _grouped(self._files, lambda file: file.size or TASK_BYTES)
        readers = [partial(_read_files, group, self._csv, columns, schema) for group in groups]
        return dataset_of("ReadCSV", readers, schema)

    def _read_parquet(self) -> ray.data.Dataset:
        columns, pieces = parquet_reader.plan(self._files)
        check_names([*columns.names, *_keys(self._files)])
        origin = [(FILE, pa.string()), (LINE, pa.int64())]
        schema = pa.schema([*columns, *origin, *_partition_types(self._files).items()])
        groups = _grouped(pieces, lambda piece: piece.nbytes)
        readers = [partial(_read_pieces, group, columns, schema) for group in groups]
        return dataset_of("ReadParquet", readers, schema)


def _given_files(paths: Mapping[str, str | Sequence[str]], kind: str) -> tuple[DataFile, ...]:
    found: dict[str, DataFile] = {}
    for split, those in paths.items():
        for file in find_files(those, kind):
            if file.name in found:
                raise SourceError(
                    f"{file.name} is named for several splits",
                    remedy="Name it once in data.source.paths",
                )
            partitions = ((SPLIT, split), *file.partitions)
            found[file.name] = dataclasses.replace(file, partitions=partitions)
    files = tuple(found.values())
    check_partitions(files)
    return files


def _csv_settings(values: Mapping[str, Any]) -> CsvSettings:
    try:
        return CsvSettings(**values)
    except pydantic.ValidationError as error:
        raise InvalidConfigError(list(problems_of(error, "data.source.csv."))) from error


def _identity(file: DataFile) -> list[int | str]:
    if file.size and file.size > HASHED_BYTES and file.mtime_ns is not None:
        return [file.name, file.size, file.mtime_ns]
    digest = hashlib.sha256()
    try:
        with file.filesystem.open_input_stream(file.path, compression=None) as stream:
            while piece := stream.read(_READ_BYTES):
                digest.update(piece)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error
    return [digest.hexdigest()]


def _unreadable(file: DataFile, error: Exception) -> SourceError:
    return SourceError(
        f"{file.name} cannot be read to its end ({error})",
        remedy="Check its permissions, and that it is complete",
    )


def _header(files: Sequence[DataFile], dialect: CsvSettings) -> tuple[str, ...]:
    for file in files:
        try:
            with file.filesystem.open_input_stream(file.path) as stream:
                names = csv_reader.read_header(stream, dialect)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from error
        if names is not None:
            return names
    raise SourceError(
        "the files of the source are empty, and its columns are not named",
        found=[file.name for file in files][:3],
        remedy="Check the program that wrote them",
    )


def _read_files(
    files: Sequence[DataFile], dialect: CsvSettings, columns: Sequence[str], schema: pa.Schema
) -> Iterator[pa.Table]:
    for file in files:
        try:
            with file.filesystem.open_input_stream(file.path) as stream:
                for table in csv_reader.read_tables(
                    stream, dialect, file=file.name, columns=columns
                ):
                    yield _add_partitions(table, file, schema)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from error


def _read_pieces(
    pieces: Sequence[ParquetPiece], columns: pa.Schema, schema: pa.Schema
) -> Iterator[pa.Table]:
    for piece in pieces:
        try:
            for table in parquet_reader.read_tables(piece, columns):
                yield _add_partitions(table, piece.file, schema)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(piece.file, error) from error


def _keys(files: Sequence[DataFile]) -> list[str]:
    return [key for key, _ in files[0].partitions]


def _partition_types(files: Sequence[DataFile]) -> dict[str, pa.DataType]:
    types = {}
    for key in _keys(files):
        values = {dict(file.partitions)[key] for file in files} - {None}
        types[key] = pa.int64() if values and all(map(_is_integer, values)) else pa.string()
    return types


def _is_integer(text: str | None) -> bool:
    return text is not None and _INTEGER.fullmatch(text) is not None


def _add_partitions(table: pa.Table, file: DataFile, schema: pa.Schema) -> pa.Table:
    for key, value in file.partitions:
        kind = schema.field(key).type
        known = int(value) if value is not None and pa.types.is_integer(kind) else value
        table = table.append_column(key, pa.repeat(pa.scalar(known, kind), len(table)))
    return table


def _grouped(parts: Iterable[Part], size: Callable[[Part], int]) -> list[list[Part]]:
    """Group neighbours, so that a task reads about `TASK_BYTES`."""
    groups: list[list[Part]] = []
    filled = TASK_BYTES
    for part in parts:
        if filled >= TASK_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(part)
        filled += size(part)
    return groups
