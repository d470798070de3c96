"""Reads one CSV file into tables of strings, with the line of each row.

No line of a file is lost: a line that cannot be read becomes a row whose columns are null and whose
column `MALFORMED` holds the reason.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rayml.data.columns.origin import FILE, LINE, MALFORMED, check_names
from rayml.data.delimited.cutting import shown
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.delimited.records import ByteStream, RecordReader, Records
from rayml.errors import SourceError

_UTF8 = ("utf-8", "utf-8-sig")
_DECIMAL_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"


def read_tables(
    stream: ByteStream, dialect: CsvSettings, *, file: str, columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Read the rows of a file.

    Args:
        stream: the file's bytes, decompressed.
        dialect: how the file is written.
        file: name of the file in `FILE`.
        columns: names that the file's columns must have, in any order.

    Yields:
        Tables with the columns `columns` (string), `FILE`, `LINE` and `MALFORMED`.

    Raises:
        SourceError: the file's header has other names.
    """
    records = RecordReader(_utf8(stream, dialect.encoding), dialect)
    names = dialect.columns
    if names is None:
        names = records.header()
        if names is None:
            return
        _check_same(names, columns, file)
    for piece in records:
        yield _table(piece, dialect, names, file).select([*columns, FILE, LINE, MALFORMED])


def read_header(stream: ByteStream, dialect: CsvSettings) -> tuple[str, ...] | None:
    """Read the names of a file's columns; None if the file is empty.

    Raises:
        SourceError: there is no usable header.
    """
    return RecordReader(_utf8(stream, dialect.encoding), dialect).header()


def table_schema(columns: Sequence[str]) -> pa.Schema:
    """Schema of the tables of a file with these columns."""
    texts = [(name, pa.string()) for name in (*columns, FILE)]
    return pa.schema([*texts, (LINE, pa.int64()), (MALFORMED, pa.string())])


def _check_same(names: Sequence[str], columns: Sequence[str], file: str) -> None:
    check_names(names)
    if set(names) != set(columns):
        missing, more = sorted(set(columns) - set(names)), sorted(set(names) - set(columns))
        raise SourceError(
            f"{file} has other columns than the first file of the source",
            found={"missing": missing, "unknown": more},
            remedy="Correct the file, or leave it out",
        )


def _table(records: Records, dialect: CsvSettings, names: Sequence[str], file: str) -> pa.Table:
    malformed = list(records.malformed)
    lines = records.lines
    parsed = pa.table({name: pa.array([], pa.string()) for name in names})
    if len(lines):
        parsed, wrong = _parse(records, dialect, names)
        malformed += [(int(lines[row]), reason) for row, reason in wrong]
        lines = np.delete(lines, [row for row, _ in wrong])
    if len(parsed) != len(lines):
        # Arrow would read another grammar than ours, and rows would get wrong lines.
        raise SourceError(
            f"{file} has {len(lines)} records, and Arrow reads {len(parsed)} rows",
            remedy="Report it with the file; converting the file to Parquet avoids it",
        )
    columns = [_cleaned(column, dialect) for column in parsed.columns]
    good = _with_origin(columns, names, file, lines, pa.nulls(len(lines), pa.string()))
    if not malformed:
        return good
    malformed.sort()
    none = pa.nulls(len(malformed), pa.string())
    where, why = zip(*malformed, strict=True)
    bad = _with_origin(
        [none] * len(names), names, file, np.array(where), pa.array(why, pa.string())
    )
    return pa.concat_tables([good, bad])


def _parse(
    records: Records, dialect: CsvSettings, names: Sequence[str]
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """Parse records; also gives the index of each with a wrong number of fields, and why."""
    wrong: list[tuple[int, str]] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields, expected {row.expected_columns}"
        wrong.append((row.number - 1, f"{reason}: {shown(row.text.encode())}"))
        return "skip"

    parsed = pyarrow.csv.read_csv(
        pa.BufferReader(pa.py_buffer(records.text)),
        read_options=pyarrow.csv.ReadOptions(
            column_names=list(names),
            use_threads=False,  # Arrow numbers rows only when it reads them in order
            block_size=len(records.text) + 1,
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=dialect.quote is not None,
            invalid_row_handler=keep,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            check_utf8=False,  # the cut checks each record
            strings_can_be_null=not dialect.strip,
            null_values=list(dialect.nulls),
        ),
    )
    return parsed, wrong


def _cleaned(column: pa.ChunkedArray, dialect: CsvSettings) -> pa.ChunkedArray:
    if dialect.strip:
        bare = pc.utf8_trim(column, " \t")
        missing = pc.is_in(bare, pa.array(dialect.nulls, pa.string()))
        column = pc.if_else(missing, pa.scalar(None, pa.string()), bare)
    if dialect.decimal == ",":
        column = pc.replace_substring_regex(column, _DECIMAL_COMMA, r"\1.\2")
    return column


def _with_origin(
    columns: Sequence[pa.ChunkedArray | pa.Array],
    names: Sequence[str],
    file: str,
    lines: np.ndarray,
    malformed: pa.Array,
) -> pa.Table:
    where = [pa.repeat(pa.scalar(file), len(lines)), pa.array(lines, pa.int64()), malformed]
    return pa.table([*columns, *where], names=[*names, FILE, LINE, MALFORMED])


def _utf8(stream: ByteStream, encoding: str) -> ByteStream:
    return _WithoutMark(stream if encoding in _UTF8 else _Recoded(stream, encoding))


class _WithoutMark:
    """UTF-8 without the byte order mark that may come first."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._begun = False

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        if self._begun:
            return piece
        self._begun = True
        while 0 < len(piece) < len(codecs.BOM_UTF8) and (more := self._stream.read(size)):
            piece += more
        return piece.removeprefix(codecs.BOM_UTF8) or self._stream.read(size)


class _Recoded:
    """Text of another encoding as UTF-8; bytes that it does not define stay undecodable."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        codecs.register_error("rayml.undecodable", _surrogates)
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("rayml.undecodable")

    def read(self, size: int, /) -> bytes:
        while piece := self._stream.read(size):
            if text := self._decoder.decode(piece):
                return text.encode("utf-8", "surrogatepass")
        return self._decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _surrogates(error: UnicodeError) -> tuple[str, int]:
    # Lone surrogates have no UTF-8, so records that hold them are malformed.
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff" * (error.end - error.start), error.end
