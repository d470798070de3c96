"""A file of rows to predict: CSV, Parquet, Arrow, JSON or JSON lines, read part by part.

In each format columns and values follow the rules of a request (`rayml.data.rows.strictness`);
an error names the file, the line or row, and the column.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rayml.data.columns.kinds import ARROW_TYPES, EXPECTED, Mask, parse
from rayml.data.columns.origin import LINE, MALFORMED
from rayml.data.delimited import csv_reader
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.delimited.sniffing import HEAD_BYTES, Columns, sniff
from rayml.data.rows.strictness import TYPES, VALUES, admits, read
from rayml.data.sources.json_rows import read_rows
from rayml.errors import ConfigError, DataError, RequestError, SourceError
from rayml.stages.rows.row_columns import RowColumns
from rayml.types import Kind

if TYPE_CHECKING:
    from rayml.serve.predict.predictor import Predictor
    from rayml.serve.predict.row_parser import Row

Note = Callable[[str], None]

PART_ROWS: Final = 8192
"""Rows in memory at a time, as tables of a model's columns."""

_COMPRESSED = r"(\.(gz|bz2|zst|lz4|br))?$"
_FORMATS: Final = {
    "csv": re.compile(r"\.(csv|tsv|txt)" + _COMPRESSED, re.IGNORECASE),
    "lines": re.compile(r"\.(jsonl|ndjson)" + _COMPRESSED, re.IGNORECASE),
    "json": re.compile(r"\.json" + _COMPRESSED, re.IGNORECASE),
    "parquet": re.compile(r"\.(parquet|pq)$", re.IGNORECASE),
    "arrow": re.compile(r"\.(arrow|arrows|feather|ipc)$", re.IGNORECASE),
}


class RowFile:
    """A file of rows for one model.

    Args:
        predictor: of the bundle.
        path: of the file.
        note: called with a line for each assumption about the file, and for ignored columns.

    Raises:
        ConfigError: there is no such file, or the suffix of its name belongs to no format.
    """

    def __init__(self, predictor: Predictor, path: Path, note: Note) -> None:
        self._predictor = predictor
        self._signature = predictor.signature
        self._columns = RowColumns.of(self._signature, predictor.preprocessor.schema)
        self._path = path
        self._note = note
        self._format = _format(path)

    def tables(self) -> Iterator[pa.Table]:
        """The rows, part by part, in the columns and types of the signature.

        Raises:
            DataError: the file cannot be read, or a column or value does not fit the signature.
        """
        rows = 0
        try:
            for table in self._read():
                for start in range(0, table.num_rows, PART_ROWS):
                    yield table.slice(start, PART_ROWS)
                rows += table.num_rows
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise SourceError(
                f"{self._path.name} cannot be read as the format of its suffix ({error})",
                remedy="Check that it is complete, and ends in the suffix of its format",
            ) from error
        if not rows:
            self._note(f"{self._path.name} has no rows")

    def _read(self) -> Iterator[pa.Table]:
        match self._format:
            case "csv":
                return self._csv()
            case "parquet":
                file = pq.ParquetFile(self._path)
                return self._typed(file.schema_arrow, file.iter_batches(PART_ROWS))
            case "arrow":
                return self._arrow()
            case _:
                return self._json()

    def _csv(self) -> Iterator[pa.Table]:
        inputs = self._signature.inputs
        known = Columns(
            taken=self._columns.taken,
            numeric=[column.name for column in inputs if column.kind == "numeric"],
        )
        with self._stream() as stream:
            head = stream.read(HEAD_BYTES)
        name = self._path.name
        found = sniff(head, self._signature.csv or CsvSettings(), known, name)
        if found.differs:
            expected = "the training data" if self._signature.csv else "the usual CSV"
            self._note(f"{name} differs from {expected}, and is read with {found.differs}")
        self._sorted(found.names)
        with self._stream() as stream:
            tables = csv_reader.read_tables(stream, found.dialect, file=name, columns=found.names)
            for table in tables:
                yield self._texts(table)

    def _texts(self, table: pa.Table) -> pa.Table:
        lines, reasons = table.column(LINE), table.column(MALFORMED)
        if reasons.null_count < len(reasons):
            row = int(np.argmax(reasons.is_valid().to_numpy()))
            raise DataError(
                f"{self._path.name}, line {lines[row]}: {reasons[row]}", remedy="Correct the file"
            )

        def place(row: int) -> str:
            return f"line {lines[row]}"

        return self._natural(table, place, parse, EXPECTED)

    def _arrow(self) -> Iterator[pa.Table]:
        with pa.memory_map(str(self._path)) as source:
            if source.read(6) == b"ARROW1":
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(index) for index in range(file.num_record_batches))
                yield from self._typed(file.schema, batches)
                return
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            yield from self._typed(stream.schema, stream)

    def _typed(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        taken = self._sorted(schema.names)
        kinds = {column.name: column.kind for column in self._signature.inputs}
        for name in taken:
            kind, values = kinds[name], schema.field(name).type
            if not admits(values, kind):
                raise DataError(
                    f"{self._path.name}, column {name!r}: its type is {values}",
                    remedy=f"Cast it: a {kind} column takes {TYPES[kind]}",
                )
        before = 1
        for batch in batches:
            batch.validate(full=True)
            first = before

            def place(row: int, first: int = first) -> str:
                return f"row {first + row}"

            misfits = {kind: f"is not {value}" for kind, value in VALUES.items()}
            yield self._natural(pa.table(batch), place, read, misfits)
            before += batch.num_rows

    def _natural(
        self,
        table: pa.Table,
        place: Callable[[int], str],
        reading: Callable[[pa.ChunkedArray, Kind, Sequence[str]], tuple[pa.Array, Mask]],
        expected: Mapping[Kind, str],
    ) -> pa.Table:
        """The signature's columns of a table in natural types; an absent one has missing values."""
        columns = {}
        for column in self._signature.inputs:
            if column.name not in table.column_names:
                columns[column.name] = pa.nulls(table.num_rows, ARROW_TYPES[column.kind])
                continue
            raw = table.column(column.name)
            # Categories are looked up as they are, with their own tokens.
            missing = () if column.kind == "categorical" else self._signature.missing
            columns[column.name], misfits = reading(raw, column.kind, missing)
            if misfits.any():
                row = int(np.argmax(misfits))
                raise DataError(
                    f"{self._path.name}, {place(row)}, column {column.name!r}:"
                    f" the value {expected[column.kind]}",
                    found=_value(raw[row]),
                    remedy="Correct the value, or leave it empty if it is unknown",
                )
        return pa.table(columns)

    def _json(self) -> Iterator[pa.Table]:
        from rayml.serve.predict.row_parser import RequestParser

        parser = RequestParser(self._signature, max_rows=1, aside=self._columns.aside)
        rows: list[Row] = []
        aside: dict[str, None] = {}
        with self._stream() as stream:
            for index, (line, text) in enumerate(read_rows(stream, self._path.name), start=1):
                rows.append(self._row(parser.parse_row, text, f"line {line}, row {index}"))
                aside.update(dict.fromkeys(rows[-1].keys() & self._columns.aside.keys()))
                if len(rows) == PART_ROWS:
                    yield self._predictor.table(rows)
                    rows = []
        if rows:
            yield self._predictor.table(rows)
        self._note_ignored(self._columns.ignored(sorted(aside)))

    def _row(self, parse_row: Callable[[bytes], Row], text: str, place: str) -> Row:
        try:
            row = parse_row(text.encode())
        except RequestError as error:
            reason = re.sub(r"^row 0(, |: )", "", str(error))
            raise DataError(f"{self._path.name}, {place}, {reason}") from None
        if row.keys() <= self._columns.aside.keys():
            raise DataError(
                f"{self._path.name}, {place}: the row has no column that the model knows",
                remedy=f"The model's columns are: {', '.join(self._columns.taken)[:500]}",
            )
        return row

    def _sorted(self, names: list[str] | tuple[str, ...]) -> list[str]:
        taken, ignored = self._columns.sort(list(names), self._path.name)
        self._note_ignored(ignored)
        return taken

    def _note_ignored(self, ignored: str) -> None:
        if ignored:
            self._note(f"{self._path.name}: ignored columns: {ignored}")

    def _stream(self) -> pa.NativeFile:
        # Decompressed by the suffix of the name.
        return fs.LocalFileSystem().open_input_stream(str(self._path))


def _format(path: Path) -> str:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", remedy="Name a file of rows in it")
    if not path.is_file():
        raise ConfigError(f"file not found: {path}", remedy="Check its path")
    for name, suffix in _FORMATS.items():
        if suffix.search(path.name):
            return name
    raise ConfigError(
        f"the suffix of {path.name} belongs to no format of rows",
        remedy="Use .csv, .tsv, .parquet, .arrow, .feather, .json or .jsonl; CSV and JSON may be"
        " compressed, with .gz, .bz2, .zst, .lz4 or .br behind that",
    )


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a time that Python has no date for
        return scalar.cast(pa.int64()).as_py()
