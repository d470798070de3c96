"""Reads Parquet files into tables, with the row number of each row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayml.data.columns.origin import FILE, LINE
from rayml.data.sources.location import DataFile
from rayml.errors import SourceError

PIECE_BYTES = 64 * 2**20  # of row groups, uncompressed, that one task reads at least
BATCH_ROWS = 65_536
_FOOTERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """Row groups of one file that follow each other.

    Attributes:
        file: the file.
        groups: their indices.
        first_row: number of their first row in the file, counted from 0.
        nbytes: uncompressed size.
    """

    file: DataFile
    groups: tuple[int, ...]
    first_row: int
    nbytes: int


def plan(files: Sequence[DataFile]) -> tuple[pa.Schema, list[ParquetPiece]]:
    """Read the footers of files: the schema that suits all of them, and pieces to read.

    Dictionary columns become columns of their values, and extension types become their storage
    types. A column that is int in one file and float in another becomes float.

    Raises:
        SourceError: a file cannot be read, or files disagree on columns or types.
    """
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        footers = list(pool.map(_footer, files))
    schemas = [_plain(footer.schema.to_arrow_schema()) for footer in footers]
    schema = schemas[0]
    for file, other in zip(files, schemas, strict=True):
        if set(other.names) != set(schema.names):
            raise SourceError(
                f"{file.name} has other columns than the first file of the source",
                found=sorted(set(other.names) ^ set(schema.names)),
                remedy="Correct the file, or leave it out",
            )
        try:
            schema = pa.unify_schemas([schema, other], promote_options="permissive")
        except pa.ArrowException as error:
            raise SourceError(
                f"a column of {file.name} has another type than in the files before ({error})",
                remedy="Write the files with one schema",
            ) from error
    pieces = [p for f, footer in zip(files, footers, strict=True) for p in _pieces(f, footer)]
    return schema, pieces


def pandas_index(file: DataFile) -> tuple[str, ...]:
    """Names of the columns in which pandas stored the index of the table.

    Raises:
        SourceError: the file cannot be read.
    """
    schema = _footer(file).schema.to_arrow_schema()
    try:
        metadata = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = metadata.get("index_columns", [])
    except (ValueError, AttributeError):
        return ()  # another program wrote it
    return tuple(each for each in index if isinstance(each, str) and each in schema.names)


def read_tables(piece: ParquetPiece, schema: pa.Schema) -> Iterator[pa.Table]:
    """Read the rows of a piece as tables of `schema`, `FILE` and `LINE`."""
    row = piece.first_row + 1
    with piece.file.filesystem.open_input_file(piece.file.path) as stream:
        batches = pq.ParquetFile(stream).iter_batches(BATCH_ROWS, row_groups=list(piece.groups))
        for batch in batches:
            table = pa.table(batch).select(schema.names).cast(schema)
            lines = np.arange(row, row + len(table), dtype=np.int64)
            row += len(table)
            table = table.append_column(FILE, pa.repeat(pa.scalar(piece.file.name), len(table)))
            yield table.append_column(LINE, pa.array(lines))


def _footer(file: DataFile) -> pq.FileMetaData:
    try:
        with file.filesystem.open_input_file(file.path) as stream:
            return pq.read_metadata(stream)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"{file.name} cannot be read as Parquet ({error})",
            remedy="Write it again, or set data.source.format=csv if it is text",
        ) from error


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _plain_type(field.type)) for field in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The storage type of values, at any depth.

    A file itself names the extension types of its columns, and Ray's extension types unpickle.
    """
    found = kind
    if isinstance(kind, pa.BaseExtensionType):
        found = _plain_type(kind.storage_type)
    elif pa.types.is_dictionary(kind):
        found = _plain_type(kind.value_type)
    elif pa.types.is_struct(kind):
        found = pa.struct([pa.field(each.name, _plain_type(each.type)) for each in kind])
    elif pa.types.is_map(kind):
        found = pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    elif pa.types.is_fixed_size_list(kind):
        found = pa.list_(_plain_type(kind.value_type), kind.list_size)
    elif pa.types.is_large_list(kind):
        found = pa.large_list(_plain_type(kind.value_type))
    elif pa.types.is_list(kind):
        found = pa.list_(_plain_type(kind.value_type))
    return found


def _pieces(file: DataFile, footer: pq.FileMetaData) -> Iterator[ParquetPiece]:
    groups: list[int] = []
    row = first = nbytes = 0
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        groups.append(index)
        nbytes += group.total_byte_size
        row += group.num_rows
        if nbytes >= PIECE_BYTES or index == footer.num_row_groups - 1:
            yield ParquetPiece(file, tuple(groups), first, nbytes)
            groups, first, nbytes = [], row, 0
