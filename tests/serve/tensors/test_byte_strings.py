"""BYTES tensors on the wire, beside a loop that is plainly right."""

from __future__ import annotations

import struct
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import RequestError
from rayml.serve.tensors import byte_strings
from rayml.serve.tensors.byte_strings import (
    is_text,
    join_elements,
    lay_out,
    on_wire,
    split_elements,
)

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


@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_tensors_are_laid_out_as_they_came(count: int, tensors: int, data: st.DataObject) -> None:
    drawn = st.lists(TEXT.map(str.encode), min_size=count, max_size=count)
    each = [data.draw(drawn) for _ in range(tensors)]
    elements = lay_out([wire(elements) for elements in each], count)
    assert elements is not None
    elements.validate(full=True)
    assert elements.to_pylist() == [on_wire(element) for some in each for element in some]


@given(
    st.lists(st.one_of(st.binary(max_size=60), NEARLY), min_size=1, max_size=3), st.integers(1, 5)
)
def test_any_bytes_are_laid_out_as_they_are_read_or_not_at_all(
    raws: list[bytes], count: int
) -> None:
    found = lay_out(raws, count)
    if found is not None:
        read = [split_elements("x", raw, count).to_pylist() for raw in raws]
        assert found.to_pylist() == [on_wire(element) for some in read for element in some]


SHORT = st.one_of(TEXT.map(str.encode), st.binary(min_size=1, max_size=3)).filter(
    lambda each: b"\0" not in each
)


@given(st.lists(SHORT, min_size=1))
def test_text_is_told_from_other_bytes(elements: list[bytes]) -> None:
    found = lay_out([wire(elements)], len(elements))
    assert found is not None
    each_is = True
    for element in elements:
        try:
            element.decode()
        except UnicodeDecodeError:
            each_is = False
    assert is_text(found) == each_is


def test_an_element_that_spans_two_tensors_is_not_laid_out() -> None:
    both = wire([b"abc", b"d"])
    assert lay_out([both[:5], both[5:]], 1) is None


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
