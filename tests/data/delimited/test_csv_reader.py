from __future__ import annotations

import codecs
import csv
import io
import tracemalloc
from dataclasses import dataclass
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayml.data.columns.origin import FILE, LINE, MALFORMED
from rayml.data.delimited import csv_reader, records
from rayml.data.delimited.dialect import CsvSettings
from rayml.errors import SourceError

# ---------------------------------------------------------------- reading in tests


def read(text: bytes, dialect: CsvSettings, columns: tuple[str, ...], piece: int = 1 << 20):
    with patch.object(records, "PIECE_BYTES", piece):
        tables = list(
            csv_reader.read_tables(io.BytesIO(text), dialect, file="f.csv", columns=columns)
        )
    if not tables:
        return csv_reader.table_schema(columns).empty_table()
    return pa.concat_tables(tables).combine_chunks().sort_by(LINE)


def good(table: pa.Table) -> list[tuple]:
    """Rows that could be read, without their origin."""
    rows = table.filter(pa.compute.is_null(table[MALFORMED])).drop_columns([FILE, LINE, MALFORMED])
    return [tuple(row.values()) for row in rows.to_pylist()]


def bad(table: pa.Table) -> dict[int, str]:
    """Lines that could not be read, and why."""
    rows = table.select([LINE, MALFORMED]).to_pylist()
    return {row[LINE]: row[MALFORMED] for row in rows if row[MALFORMED] is not None}


AB = ("a", "b")

# ---------------------------------------------------------------- the plain cases


def test_rows_are_strings_with_their_lines() -> None:
    table = read(b"a,b\n1,x\n\n2,\n", CsvSettings(), AB)
    assert table.schema == csv_reader.table_schema(AB)
    assert good(table) == [("1", "x"), ("2", None)]
    assert table[LINE].to_pylist() == [2, 4]
    assert table[FILE].to_pylist() == ["f.csv"] * 2


def test_quoted_fields_hold_delimiters_quotes_and_lines() -> None:
    table = read(b'a,b\r\n"x,1","say ""hi"""\r\n"two\r\nlines",3\r\n4,5', CsvSettings(), AB)
    assert good(table) == [("x,1", 'say "hi"'), ("two\r\nlines", "3"), ("4", "5")]
    assert table[LINE].to_pylist() == [2, 3, 5]


def test_numbers_with_a_decimal_comma_are_read_with_a_point() -> None:
    dialect = CsvSettings(delimiter=";", decimal=",")
    text = b"a;b\n1,5;-,25e3\n 2,0 ;one, two\n3;1.5\n1,2,3;\n"
    assert good(read(text, dialect, AB)) == [
        ("1.5", "-.25e3"), (" 2.0 ", "one, two"), ("3", "1.5"), ("1,2,3", None)
    ]  # fmt: skip


def test_each_way_to_be_malformed_costs_its_own_line() -> None:
    text = b'a,b\n1,2\nfew\nx,y,z\n"never closed,1\n3,4\n"closed"early,1\n\xff,1\n5" pipe,6\n'
    table = read(text, CsvSettings(), AB)
    assert good(table) == [("1", "2"), ("3", "4"), ('5" pipe', "6")]
    reasons = bad(table)
    assert list(reasons) == [3, 4, 5, 7, 8]
    assert reasons[3] == "1 fields, expected 2: 'few'"
    assert reasons[4] == "3 fields, expected 2: 'x,y,z'"
    assert "a quoted field is open" in reasons[5]
    assert "never closed,1" in reasons[5]
    assert "a quoted field is open" in reasons[7]
    assert "encoding" in reasons[8]


def test_malformed_rows_have_null_in_every_column() -> None:
    table = read(b"a,b\n1\n", CsvSettings(), AB)
    assert table.to_pylist()[0]["a"] is None
    assert table.to_pylist()[0]["b"] is None


def test_an_open_quote_at_the_end_swallows_nothing() -> None:
    table = read(b'a,b\n"open,1\n2,3\n4,5\n', CsvSettings(), AB, piece=8)
    assert good(table) == [("2", "3"), ("4", "5")]
    assert list(bad(table)) == [2]


def test_an_open_quote_does_not_hold_the_file_in_memory() -> None:
    with patch.object(records, "MAX_RECORD_BYTES", 100):
        table = read(b'a,b\n"open,1\n' + b"2,3\n" * 1000, CsvSettings(), AB, piece=16)
    assert len(good(table)) == 1000
    assert list(bad(table)) == [2]


def test_a_line_without_end_is_one_malformed_row() -> None:
    with patch.object(records, "MAX_RECORD_BYTES", 100):
        table = read(b"a,b\n1,2\n" + b"x" * 5000 + b"\n3,4\n", CsvSettings(), AB, piece=16)
    assert good(table) == [("1", "2"), ("3", "4")]
    assert list(bad(table)) == [3]
    assert "more than 100 bytes" in bad(table)[3]


def test_memory_is_bounded_by_the_piece_not_by_the_file() -> None:
    class Endless:
        def __init__(self, size: int) -> None:
            self.left = size

        def read(self, size: int, /) -> bytes:
            taken = min(size, self.left)
            self.left -= taken
            return b"1,2\n" * (taken // 4)

    size = 64 << 20
    rows = peak = 0
    tracemalloc.start()
    with patch.object(records, "PIECE_BYTES", 1 << 20):
        for table in csv_reader.read_tables(
            Endless(size), CsvSettings(columns=AB), file="f", columns=AB
        ):
            rows += len(table)
            peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert rows == size // 4
    assert peak < size / 2


# ---------------------------------------------------------------- dialects


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_delimiter(mark: str) -> None:
    text = f"a{mark}b\n1{mark}2\n".encode()
    assert good(read(text, CsvSettings(delimiter=mark), AB)) == [("1", "2")]


def test_quotes_may_mean_nothing() -> None:
    table = read(b'a,b\n"x,y"\n', CsvSettings(quote=None), AB)
    assert good(table) == [('"x', 'y"')]


def test_files_without_header() -> None:
    table = read(b"1,2\n", CsvSettings(columns=("p", "q")), ("p", "q"))
    assert table.select(["p", "q"]).to_pylist() == [{"p": "1", "q": "2"}]


def test_nulls_count_quoted_or_not_and_are_all_of_them() -> None:
    text = b'a,b\n?,"?"\n,NA\n'
    assert good(read(text, CsvSettings(nulls=("?",)), AB)) == [(None, None), ("", "NA")]
    assert good(read(b"a,b\n?,NA\n,x\n", CsvSettings(), AB)) == [("?", None), (None, "x")]


def test_strip_takes_blanks_off_and_finds_quotes_and_nulls_behind_them() -> None:
    text = b' a , b\n 1\t,  ? \n "x, y" , " z "\n a "b" , 2\n'
    table = read(text, CsvSettings(strip=True, nulls=("?",)), AB)
    assert good(table) == [("1", None), ("x, y", "z"), ('a "b"', "2")]


def test_comments_and_skipped_lines_are_no_rows_but_count_as_lines() -> None:
    text = b'junk "\n\n# it\'s 5" long\na,b\n# x,"\n1,2\n#3,4\n"#5",6\n'
    table = read(text, CsvSettings(comment="#", skip_lines=1), AB)
    assert good(table) == [("1", "2"), ("#5", "6")]
    assert table[LINE].to_pylist() == [6, 8]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_encodings(encoding: str, piece: int) -> None:
    text = "ä,b\nü,ß\n".encode(encoding)
    table = read(text, CsvSettings(encoding=encoding), ("ä", "b"), piece)
    assert good(table) == [("ü", "ß")]


def test_bytes_that_an_encoding_lacks_are_one_malformed_row() -> None:
    table = read(b"a,b\n\x81,1\n2,\x80\n", CsvSettings(encoding="cp1252"), AB)
    assert good(table) == [("2", "€")]
    assert list(bad(table)) == [2]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    text = codecs.BOM_UTF8 + b"a,b\n1,2\n"
    assert csv_reader.read_header(io.BytesIO(text), CsvSettings()) == AB
    assert good(read(text, CsvSettings(), AB, piece=1)) == [("1", "2")]


# ---------------------------------------------------------------- headers


def test_header_may_span_lines_and_order_may_differ_between_files() -> None:
    text = b'"b\n1",a\n2,1\n'
    assert csv_reader.read_header(io.BytesIO(text), CsvSettings()) == ("b\n1", "a")
    table = read(text, CsvSettings(), ("a", "b\n1"))
    assert good(table) == [("1", "2")]
    assert table[LINE].to_pylist() == [3]


def test_an_empty_file_has_no_header_and_no_rows() -> None:
    assert csv_reader.read_header(io.BytesIO(b"\n\n"), CsvSettings()) is None
    assert len(read(b"\n", CsvSettings(), AB)) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'"a,b\n1,2\n', "line 1 cannot be read as a header"),
        (b"a,\xff\n1,2\n", "the header is not text in utf-8"),
    ],
)
def test_a_header_that_cannot_be_read_is_an_error(text: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        csv_reader.read_header(io.BytesIO(text), CsvSettings())


@pytest.mark.parametrize("text", [b"a,c\n1,2\n", b"a\n1\n", b"a,b,c\n1,2,3\n", b"a,a\n1,2\n"])
def test_other_columns_are_an_error(text: bytes) -> None:
    with pytest.raises(SourceError):
        read(text, CsvSettings(), AB)


# ---------------------------------------------------------------- properties

FIELDS = st.text(
    st.one_of(st.sampled_from('",;\n\r \t#|a'), st.characters(exclude_categories=["Cs"])),
    max_size=8,
)


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=8)
    ),
    delimiter=st.sampled_from(",;\t|"),
    # With minimal quotes and lines that end in \n, the module leaves a bare \r unquoted, which
    # it cannot read back itself.
    style=st.sampled_from(
        [(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")]
    ),
    piece=st.sampled_from([1, 2, 7, 1 << 20]),
)
@settings(deadline=None, max_examples=300)
def test_what_the_csv_module_writes_is_read_back(
    rows: list[list[str]], delimiter: str, style: tuple[int, str], piece: int
) -> None:
    quoting, end = style
    names = tuple(f"c{i}" for i in range(len(rows[0]) if rows else 1))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(names)
    writer.writerows(rows)
    dialect = CsvSettings(delimiter=delimiter, nulls=())
    table = read(stream.getvalue().encode(), dialect, names, piece)
    assert good(table) == [tuple(row) for row in rows]
    assert not bad(table)


@dataclass
class Reference:
    """The same grammar, character by character."""

    text: str
    comment: str | None
    strip: bool

    def rows(self) -> list[tuple[int, tuple[str, ...] | None]]:
        found: list[tuple[int, tuple[str, ...] | None]] = []
        at, line = 0, 1
        while at < len(self.text):
            start = at
            if self.text[at] not in "\r\n":
                row = None
                if self.text[at] == self.comment:
                    at = self.line_end(at)
                else:
                    row, at = self.record(at)
                    found.append((line, row))
            at = self.over_break(at)
            line += self.breaks(start, at)
        return found

    def line_end(self, at: int) -> int:
        while at < len(self.text) and self.text[at] not in "\r\n":
            at += 1
        return at

    def over_break(self, at: int) -> int:
        return at + (2 if self.text[at : at + 2] == "\r\n" else at < len(self.text))

    def breaks(self, start: int, end: int) -> int:
        return len(self.text[start:end].replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1

    def record(self, start: int) -> tuple[tuple[str, ...] | None, int]:
        fields, at = [], start
        while True:
            one = self.field(at)
            if one is None:
                return None, self.line_end(start)
            value, at = one
            fields.append(value)
            if at == len(self.text) or self.text[at] in "\r\n":
                readable = not any("\udc80" <= c <= "\udcff" for c in self.text[start:at])
                return (tuple(fields) if readable else None), at
            at += 1

    def field(self, at: int) -> tuple[str, int] | None:
        begin = at
        while self.strip and self.text[at : at + 1] in {" ", "\t"}:
            at += 1
        if self.text[at : at + 1] != '"':
            at = begin
            while at < len(self.text) and self.text[at] not in ",\r\n":
                at += 1
            value = self.text[begin:at]
            return (value.strip(" \t") if self.strip else value), at
        at += 1
        value = ""
        while at < len(self.text) and (self.text[at] != '"' or self.text[at : at + 2] == '""'):
            value += self.text[at]
            at += 2 if self.text[at] == '"' else 1
        if at == len(self.text):
            return None
        at += 1
        while self.strip and self.text[at : at + 1] in {" ", "\t"}:
            at += 1
        if at < len(self.text) and self.text[at] not in ",\r\n":
            return None
        return (value.strip(" \t") if self.strip else value), at


@given(
    parts=st.lists(
        st.sampled_from(
            [b'"', b'"', b",", b",", b"\n", b"\n", b"\r", b" ", b"x", b"#", b"\xff", "ä".encode()]
        ),
        max_size=40,
    ),
    comment=st.sampled_from([None, "#"]),
    strip=st.booleans(),
    piece=st.sampled_from([1, 2, 5, 1 << 20]),
)
@settings(deadline=None, max_examples=1000)
def test_hostile_text_loses_no_row_and_moves_none(
    parts: list[bytes], comment: str | None, strip: bool, piece: int
) -> None:
    text = b"".join(parts)
    dialect = CsvSettings(columns=AB, nulls=(), comment=comment, strip=strip)
    table = read(text, dialect, AB, piece)
    rows = [
        (row[LINE], None if row[MALFORMED] is not None else (row["a"], row["b"]))
        for row in table.to_pylist()
    ]
    expected = [
        (line, row if row is None or len(row) == 2 else None)
        for line, row in Reference(text.decode(errors="surrogateescape"), comment, strip).rows()
    ]
    assert rows == expected
