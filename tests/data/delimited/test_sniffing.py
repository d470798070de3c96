from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.delimited.dialect import CsvSettings
from rayml.data.delimited.sniffing import Columns, sniff
from rayml.errors import SourceError

KNOWN = Columns(taken=["price", "channel", "café"], numeric=["price"])


@given(
    st.permutations(["price", "channel", "café"]),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "utf-32", "cp1252"]),
    st.sampled_from(".,"),
)
def test_a_file_is_read_as_it_was_written(
    names: list[str], delimiter: str, encoding: str, decimal: str
) -> None:
    values = {"price": f"1{decimal}5", "channel": "web, shop", "café": "it is; so|what"}
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([names, [values[name] for name in names]])
    found = sniff(out.getvalue().encode(encoding), CsvSettings(), KNOWN, "f.csv")
    assert found.names == tuple(names)
    assert found.dialect.delimiter == delimiter
    assert found.dialect.decimal == decimal
    usual = delimiter == "," and decimal == "." and encoding in ("utf-8", "utf-8-sig")
    assert (found.differs == "") == usual


def test_the_expected_dialect_is_kept_where_it_fits() -> None:
    expected = CsvSettings(delimiter=";", quote=None, nulls=("?",), comment="#")
    found = sniff(b"# a,b\nprice;other,channel\n1;2\n", expected, KNOWN, "f.csv")
    assert (found.dialect, found.differs) == (expected, "")
    assert found.names == ("price", "other,channel")


def test_what_a_file_lacks_is_no_reason_to_read_it_otherwise() -> None:
    expected = CsvSettings(comment="#", skip_lines=2)
    found = sniff(b"made by hand\n\nprice,channel\n1,2\n", expected, KNOWN, "f.csv")
    assert (found.dialect, found.differs) == (expected, "")
    found = sniff(b"price,channel\n1,2\n", expected, KNOWN, "f.csv")
    assert (found.dialect.skip_lines, found.differs) == (0, "skip_lines 0")


@pytest.mark.parametrize("head", [b"", b" \r\n\n"])
def test_an_empty_file_is_refused(head: bytes) -> None:
    with pytest.raises(SourceError, match=r"f\.csv is empty"):
        sniff(head, CsvSettings(), KNOWN, "f.csv")


def test_a_file_without_a_known_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(SourceError, match=r"'foo, prices'.*Did you mean 'price'"):
        sniff(b"foo,prices\n1,2\n", CsvSettings(), KNOWN, "f.csv")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(SourceError, match="no column"):
        sniff(bytes(range(256)) * 10, CsvSettings(), KNOWN, "f.csv")
