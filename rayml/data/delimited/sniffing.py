"""Finds the dialect of a CSV file whose columns are known.

A dialect is scored by the number of known columns that its header gives. So the expected dialect
is kept if it gives any, and another cannot win by the look of the text alone.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.delimited import csv_reader
from rayml.data.delimited.dialect import CsvSettings
from rayml.errors import SourceError

HEAD_BYTES = 2**18
"""Bytes of a file that its dialect is found from."""

_DELIMITERS = (",", ";", "\t", "|")
_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Columns:
    """The columns of a file that are known before it is read.

    Attributes:
        taken: names of the wanted columns; the file must have at least one of them.
        others: further names that a header may have.
        numeric: those of `taken` that hold numbers.
    """

    taken: Sequence[str]
    others: Sequence[str] = ()
    numeric: Collection[str] = ()


@dataclass(frozen=True)
class Sniffed:
    """The dialect of a file.

    Attributes:
        dialect: to read it with.
        names: of its columns.
        differs: the settings in which the dialect differs from the expected one, for people;
            empty if it does not.
    """

    dialect: CsvSettings
    names: tuple[str, ...]
    differs: str = ""


def sniff(head: bytes, expected: CsvSettings, columns: Columns, file: str) -> Sniffed:
    """Find the dialect of a file.

    Args:
        head: its first bytes, decompressed; all of them, or `HEAD_BYTES`.
        expected: the dialect that is kept if it fits.
        columns: the known ones.
        file: its name, for errors.

    Raises:
        SourceError: the file is empty, or no dialect gives one of the columns.
    """
    if not head.strip():
        raise SourceError(f"{file} is empty", remedy="Give a file with a header and rows")
    base = replace(expected, encoding=_encoding(head, expected.encoding))
    found = _headless(head, base) or _best(head, base, columns)
    if found is None:
        raise _foreign(head, base, columns, file)
    dialect, names = found
    if dialect.decimal == "." and _has_commas(head, dialect, names, columns):
        dialect = replace(dialect, decimal=",")
    return Sniffed(dialect, names, _differences(expected, dialect))


def _headless(head: bytes, base: CsvSettings) -> tuple[CsvSettings, tuple[str, ...]] | None:
    """The expected dialect with its own names, if the first line does not hold them."""
    if base.columns is None:
        return None
    first = _names(head, replace(base, columns=None)) or ()
    if len(first) != len(base.columns) or _count(first, base.columns):
        return None
    return base, base.columns


def _best(
    head: bytes, base: CsvSettings, columns: Columns
) -> tuple[CsvSettings, tuple[str, ...]] | None:
    """The dialect whose header has most of the known columns; the first among equals."""
    best: tuple[int, CsvSettings, tuple[str, ...]] | None = None
    for dialect in _candidates(replace(base, columns=None)):
        names = _names(head, dialect) or ()
        count = _count(names, columns.taken)
        if count and dialect == base:
            return dialect, names
        if count and (best is None or count > best[0]):
            best = count, dialect, names
    return None if best is None else best[1:]


def _candidates(base: CsvSettings) -> list[CsvSettings]:
    delimiters = dict.fromkeys((base.delimiter, *_DELIMITERS))
    quotes = dict.fromkeys((base.quote, '"'))
    comments = dict.fromkeys((base.comment, None))
    skips = dict.fromkeys((base.skip_lines, 0))
    return [
        replace(base, delimiter=delimiter, quote=quote, strip=strip, comment=mark, skip_lines=skip)
        for skip in skips
        for mark in comments
        for strip in (base.strip, True)
        for quote in quotes
        for delimiter in delimiters
        if len({delimiter, quote, mark}) == 3 and not (strip and delimiter == " ")
    ]


def _names(head: bytes, dialect: CsvSettings) -> tuple[str, ...] | None:
    try:
        return csv_reader.read_header(io.BytesIO(head), dialect)
    except SourceError:
        return None


def _count(names: Collection[str], known: Collection[str]) -> int:
    return len(set(names) & set(known))


def _encoding(head: bytes, expected: str) -> str:
    """The encoding of a text: the expected one, unless a mark or the bytes contradict it."""
    for mark in _MARKS:
        if head.startswith(mark):
            return "utf-32" if len(mark) == 4 else "utf-16"
    if head.isascii():
        return "utf-8" if _decodes(head, "utf-8") and not _decodes(head, expected) else expected
    # Bytes beyond ASCII that decode as UTF-8 are hardly ever of another encoding.
    if _decodes(head, "utf-8"):
        return "utf-8" if not expected.startswith("utf") else expected
    return expected if _decodes(head, expected) else "cp1252"


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return False
    return True


def _has_commas(
    head: bytes, dialect: CsvSettings, names: tuple[str, ...], columns: Columns
) -> bool:
    """Whether numbers of a file have a decimal comma, and none has a point."""
    if not all(names) or len(set(names)) < len(names):
        return False  # such a table cannot be read
    stream = io.BytesIO(head)
    tables = csv_reader.read_tables(stream, dialect, file="", columns=names)
    table = next(iter(tables), None)
    if table is None:
        return False
    texts = [
        text.strip()
        for name in set(names) & set(columns.numeric)
        for text in table.column(name).drop_null().to_pylist()
    ]
    return any(map(_COMMA.fullmatch, texts)) and not any(
        "." in text and _POINT.fullmatch(text) for text in texts
    )


def _differences(expected: CsvSettings, found: CsvSettings) -> str:
    parts = [
        f"{name} {'none' if value is None else repr(value)}"
        for name in ("delimiter", "quote", "decimal", "encoding", "strip", "comment", "skip_lines")
        if (value := getattr(found, name)) != getattr(expected, name)
    ]
    if expected.columns is not None and found.columns is None:
        parts.append("a header")
    return ", ".join(parts)


def _foreign(head: bytes, base: CsvSettings, columns: Columns, file: str) -> SourceError:
    names = _names(head, replace(base, columns=None)) or ()
    near = next(filter(None, (did_you_mean(name, columns.taken) for name in names)), "")
    return SourceError(
        f"{file} has no column that the model knows",
        found=listed(names, 200),
        remedy=f"{near}The model's columns are: {listed(columns.taken)}",
    )
