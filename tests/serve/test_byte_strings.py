"""BYTES tensors on the wire, beside a loop that is plainly right."""

from __future__ import annotations

import struct
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import RequestError
from rayml.serve import byte_strings
from rayml.serve.byte_strings import join_elements, split_elements

ELEMENTS = st.one_of(
    st.sampled_from([b"", b"abc", b"\0", b"\0\0\0\0", b"a\0\0", b"\x04\0\0\0"]),
    st.binary(max_size=8),
    st.binary(min_size=250, max_size=260),
)
# Bytes that look like lengths more often than chance would have it.
NEARLY = st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 4, 255]), max_size=40).map(bytes)


def wire(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@given(st.lists(ELEMENTS, max_size=30))
def test_elements_survive_the_way_there_and_back(elements: list[bytes]) -> None:
    read = split_elements("x", wire(elements), len(elements))
    read.validate(full=True)
    assert read.to_pylist() == elements
    assert join_elements(read) == wire(elements)
    assert join_elements(pa.array(elements, pa.binary())) == wire(elements)


@given(st.one_of(st.binary(max_size=60), NEARLY), st.integers(0, 12))
def test_any_bytes_are_read_exactly_or_refused(raw: bytes, count: int) -> None:
    with suppress(RequestError):
        read = split_elements("x", raw, count)
        assert wire(read.to_pylist()) == raw
        assert len(read) == count


TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXT.map(str.encode), min_size=1))
def test_text_is_never_followed_one_by_one(elements: list[bytes]) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_strings, "_follow", never)
        assert split_elements("x", wire(elements), len(elements)).to_pylist() == elements


def test_a_slice_and_nulls_are_written_as_they_read() -> None:
    elements = pa.array([b"a", b"bc", None, b"def"], pa.binary())
    assert join_elements(elements.slice(1, 3)) == wire([b"bc", b"", b"def"])
    assert join_elements(elements.slice(0, 0)) == b""
    assert join_elements(pa.nulls(2, pa.binary())) == wire([b"", b""])


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (wire([b"abc"])[:-1], 1),
        (wire([b"abc"]) + b"x", 1),
        (wire([b"abc", b"d"]), 1),
        (wire([b"abc"]), 2),
        (b"\xff\xff\xff\xff", 1),
        (b"", 1),
        (b"\0", 0),
        (b"", 2**40),
    ],
)
def test_torn_bytes_are_refused_by_the_name_of_the_tensor(raw: bytes, count: int) -> None:
    with pytest.raises(RequestError, match="'colour'") as raised:
        split_elements("colour", raw, count)
    assert raised.value.status == 400
