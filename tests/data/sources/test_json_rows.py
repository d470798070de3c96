from __future__ import annotations

import io
import json
import tracemalloc
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.sources import json_rows
from rayml.errors import SourceError


def rows(text: bytes, piece: int = 2**20) -> list[tuple[int, str]]:
    with patch.object(json_rows, "_PIECE_BYTES", piece):
        return list(json_rows.read_rows(io.BytesIO(text), "f.json"))


VALUES = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=9)
)


@given(
    st.lists(VALUES),
    st.sampled_from(["list", "wrapped", "lines"]),
    st.sampled_from([None, 1]),
    st.integers(16, 40),
)
def test_rows_are_those_of_the_whole_file(
    given: list[dict], form: str, indent: int | None, piece: int
) -> None:
    if form == "lines":
        text = "\n".join(json.dumps(each, ensure_ascii=False) for each in given)
    else:
        whole = given if form == "list" else {"rows": given}
        text = json.dumps(whole, ensure_ascii=False, indent=indent)
    found = rows(text.encode(), piece)
    assert [json.loads(row) for _, row in found] == given


def test_lines_are_told() -> None:
    assert rows(b'[\n {"a":\n1},\n\n{"a": 2}]') == [(2, '{"a":\n1}'), (5, '{"a": 2}')]
    assert rows(b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\n') == [(1, '{"a": 1}'), (3, '{"a": 2}')]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'[{"a": 1}\n{"a": 2}]', 2),
        (b'[{"a": 1},\n]', 2),
        (b'{"rows": [{"a": 1}\n]', 2),
        (b'{"rows": [{"a": 1}], "more": 1}', 1),
        (b'{"a": 1}\n{"a"', 2),
        (b"[" * 200_000, 1),
    ],
)
def test_what_is_no_json_is_named_by_line(text: bytes, line: int) -> None:
    with pytest.raises(SourceError, match=rf"f\.json, line {line}: this is not JSON"):
        rows(text)


def test_memory_is_bounded() -> None:
    text = b"[" + b",".join([b'{"a": "%b"}' % (b"x" * 200)] * 100_000) + b"]"
    stream = io.BytesIO(text)
    tracemalloc.start()
    count = sum(1 for _ in json_rows.read_rows(stream, "f.json"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100_000
    assert most < len(text) / 2
