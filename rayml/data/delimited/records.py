"""Reads the records of one CSV file in pieces of bounded size."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rayml.data.columns.origin import UNNAMED
from rayml.data.delimited.cutting import BAD_QUOTE, Cut, Positions, cut, shown
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.delimited.grammar import LINE_END, NEWLINE, RETURN, Grammar
from rayml.errors import SourceError

PIECE_BYTES = 8 * 2**20
MAX_RECORD_BYTES = 16 * 2**20  # bounds memory if a quote or a line never ends


class ByteStream(Protocol):
    """A stream of bytes, of which `read` gives none only at the end."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a piece of text.

    Attributes:
        text: the well-formed ones, in UTF-8; empty lines may lie between them.
        lines: first line of each of them, shape [records].
        malformed: lines that are not records, each with its number and the reason.
    """

    text: bytes | memoryview
    lines: Positions
    malformed: tuple[tuple[int, str], ...]


class RecordReader:
    """Reads the records of one file, once.

    Args:
        stream: the file's bytes, in UTF-8.
        dialect: how the file is written.
    """

    def __init__(self, stream: ByteStream, dialect: CsvSettings) -> None:
        self._stream = stream
        self._dialect = dialect
        self._grammar = Grammar(dialect)
        self._data = b""
        self._final = False
        self._line = 1
        for _ in range(dialect.skip_lines):
            self._skip_line()

    def header(self) -> tuple[str, ...] | None:
        """Take the first record as names of columns; None if there is no record.

        Raises:
            SourceError: the first record cannot be read.
        """
        while self._skip_empty():
            pass
        while not self._final or self._data:
            match = self._grammar.record.match(self._data)
            if match and (self._final or match.end() < len(self._data)):
                self._advance(match.end())
                return self._names(match.group())
            if self._final or len(self._data) >= MAX_RECORD_BYTES:
                raise SourceError(
                    f"line {self._line} cannot be read as a header: {shown(self._data)}",
                    remedy="Correct its quotes, or skip it with skip_lines and name the columns",
                )
            self._more()
        return None

    def __iter__(self) -> Iterator[Records]:
        """Yield the records that remain, a large piece of text at a time."""
        while True:
            if self._data:
                found = cut(self._data, self._grammar, final=self._final)
                if found.used:
                    yield self._take(found)
                elif len(self._data) >= MAX_RECORD_BYTES:
                    yield self._give_up()
            if self._final:
                return
            self._more()

    def _take(self, found: Cut) -> Records:
        def line(starts: Positions) -> Positions:
            return self._line + np.searchsorted(found.breaks, starts, "right")

        malformed = np.array(list(found.malformed), np.int64)
        records = Records(
            found.text(self._data),
            line(found.starts),
            tuple(zip(line(malformed).tolist(), found.malformed.values(), strict=True)),
        )
        self._line += int(np.searchsorted(found.breaks, found.used, "right"))
        self._data = self._data[found.used :]
        return records

    def _give_up(self) -> Records:
        """Take the first line as malformed, since its record is too long."""
        reason = f"a record has more than {MAX_RECORD_BYTES} bytes"
        if LINE_END.search(self._data):
            reason = BAD_QUOTE
        malformed = (self._line, f"{reason}: {shown(self._data)}")
        self._skip_line()
        return Records(b"", np.empty(0, np.int64), (malformed,))

    def _more(self) -> None:
        piece = self._stream.read(PIECE_BYTES)
        self._final = not piece
        self._data += piece

    def _advance(self, used: int) -> None:
        self._line += sum(1 for _ in LINE_END.finditer(self._data, 0, used))
        self._data = self._data[used:]

    def _skip_line(self) -> None:
        while True:
            end = LINE_END.search(self._data)
            if end and (self._final or end.end() < len(self._data)):
                self._advance(end.end())
                return
            if self._final or (not end and len(self._data) >= MAX_RECORD_BYTES):
                self._data = b""
            if self._final:
                return
            self._more()

    def _skip_empty(self) -> bool:
        """Skip an empty line or a comment; returns whether there was one."""
        if not self._data and not self._final:
            self._more()
        if not self._data or self._data[0] not in (NEWLINE, RETURN, self._grammar.comment):
            return False
        self._skip_line()
        return True

    def _names(self, record: bytes) -> tuple[str, ...]:
        dialect = self._dialect
        try:
            text = record.decode()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"the header is not text in {dialect.encoding}: {shown(record)}",
                remedy="Set data.source.csv.encoding",
            ) from error
        if self._grammar.padded:
            text = self._grammar.padded.sub(rb"\1", record).decode()
        row = next(
            csv.reader(
                [text],
                delimiter=dialect.delimiter,
                quotechar=dialect.quote,
                quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            )
        )
        names = [name.strip(" \t") for name in row] if dialect.strip else row
        if len(names) > 1 and not names[0]:
            names[0] = UNNAMED  # pandas writes the index of a table so
        return tuple(names)
