"""The grammar of one CSV dialect, as regular expressions on bytes."""

from __future__ import annotations

import re

from rayml.data.delimited.dialect import CsvSettings

LINE_END = re.compile(rb"\r\n?|\n")
NEWLINE, RETURN = 10, 13


class Grammar:
    """Matches a record, and text that may become one with more bytes.

    Repetitions are possessive, so matching takes time linear in the text.

    Attributes:
        quote: byte around a field, or None.
        delimiter: byte between fields.
        comment: first byte of lines that are not records, or None.
        record: matches one record with its line end, or with the end of the text.
        open: matches text whose last field is quoted and has no end yet.
        padded: matches a quoted field with blanks around it; group 1 is the field alone. None if
            blanks are part of a field.
    """

    def __init__(self, dialect: CsvSettings) -> None:
        self.delimiter = ord(dialect.delimiter)
        self.quote = ord(dialect.quote) if dialect.quote else None
        self.comment = ord(dialect.comment) if dialect.comment else None
        comma = re.escape(dialect.delimiter.encode())
        field = rb"[^%b\r\n]*+" % comma
        self.open: re.Pattern[bytes] | None = None
        self.padded: re.Pattern[bytes] | None = None
        if dialect.quote:
            mark = re.escape(dialect.quote.encode())
            blanks = b"\t ".replace(dialect.delimiter.encode(), b"")
            pad = rb"[%b]*+" % blanks if dialect.strip else b""
            begun = rb"%b(?:[^%b]++|%b%b)*+" % (mark, mark, mark, mark)
            quoted = begun + mark
            field = rb"(?:%b%b%b|%b(?!%b)%b)" % (pad, quoted, pad, pad, mark, field)
            self.open = re.compile(
                rb"(?:%b%b)*+%b%b%b?+%b\Z" % (field, comma, pad, begun, mark, pad)
            )
            if pad:
                self.padded = re.compile(rb"(?:(?<=%b)|\A)%b(%b)%b" % (comma, pad, quoted, pad))
        self.record = re.compile(rb"%b(?:%b%b)*+(?:\r\n?|\n|\Z)" % (field, comma, field))
