from __future__ import annotations

import pytest

from rayml.data.delimited import cutting
from rayml.data.delimited.cutting import cut, shown
from rayml.data.delimited.dialect import CsvSettings
from rayml.data.delimited.grammar import Grammar

GRAMMAR = Grammar(CsvSettings())


def parts(data: bytes, *, final: bool = True, grammar: Grammar = GRAMMAR) -> list[bytes]:
    found = cut(data, grammar, final=final)
    return [data[a:b] for a, b in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_line_break_ends_a_record_outside_quotes_only(end: bytes) -> None:
    records = [b'1,"a' + end + b'b"' + end, b"2,c" + end, b'"3""",d']
    assert parts(end + records[0] + end + end + b"".join(records[1:])) == records


def test_an_unfinished_record_waits_for_more() -> None:
    for data in (b"1,2\n3,", b'1,2\n"3', b'1,2\n"3"', b"1,2\n3\r", b'1,2\n"3""'):
        found = cut(data, GRAMMAR, final=False)
        assert found.used == 4, data
        assert parts(data, final=False) == [b"1,2\n"]


def test_well_placed_quotes_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_cut_one_by_one", None)
    assert len(parts(b'"a","b""c"\n"","d\ne"\nf,g\n')) == 3


@pytest.mark.parametrize("data", [b'"a"b,c\n1,2\n', b'"a\n1,2\n', b'1,2\n"a b\n'])
def test_a_misplaced_quote_costs_one_line(data: bytes) -> None:
    found = cut(data, GRAMMAR, final=True)
    assert parts(data) == [b"1,2\n"]
    assert len(found.malformed) == 1
    assert bytes(found.text(data)) == b"1,2\n"


def test_bytes_that_are_not_utf8_cost_their_record() -> None:
    data = 'ä,1\n"\n\xff",2\nö,3\n'.encode("latin-1").replace(b"\xe4", b"a") + b"c,4\n"
    found = cut(data, GRAMMAR, final=True)
    assert parts(data) == [b"a,1\n", b"c,4\n"]
    assert sorted(found.malformed) == [4, 11]


def test_text_without_edits_is_not_copied() -> None:
    data = b"1,2\n3,4\n"
    text = cut(data, GRAMMAR, final=True).text(data)
    assert isinstance(text, memoryview)
    assert text.obj is data


def test_shown_lines_are_short_and_readable() -> None:
    assert shown(b"a\xff\nnext") == repr("a\\xff")
    assert shown(b"x" * 500) == f"'{'x' * cutting.SHOWN_BYTES}'…"
