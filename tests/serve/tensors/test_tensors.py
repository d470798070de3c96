"""Tensors as values, as bytes and as JSON."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rayml.errors import RequestError
from rayml.serve.tensors.byte_strings import join_elements
from rayml.serve.tensors.tensors import (
    DATATYPES,
    NUMPY_TYPES,
    Chosen,
    Labels,
    Tensor,
    tensor_from_bytes,
    tensor_from_values,
)

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from(list(NUMPY_TYPES)))
    return datatype, draw(hnp.arrays(NUMPY_TYPES[datatype], SHAPES))


@given(arrays())
def test_numbers_survive_as_bytes(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    read = tensor_from_bytes("x", datatype, array.shape, array.tobytes())
    assert read.shape == array.shape
    assert read.data.dtype == NUMPY_TYPES[datatype]
    assert read.to_bytes() == array.tobytes()


@given(arrays())
def test_numbers_survive_as_json_nested_or_flat(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    for values in (array.tolist(), array.ravel().tolist()):
        read = tensor_from_values("x", datatype, array.shape, json.loads(json.dumps(values)))
        np.testing.assert_array_equal(read.data, array.ravel())
        assert read.data.dtype == NUMPY_TYPES[datatype]
    assert json.dumps(read.to_list()) == json.dumps(array.ravel().tolist())


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=10))
def test_text_survives_both_ways(strings: list[str]) -> None:
    shape = [len(strings)]
    read = tensor_from_values("x", "BYTES", shape, strings)
    again = tensor_from_bytes("x", "BYTES", shape, read.to_bytes())
    assert read.to_list() == again.to_list() == strings


@given(st.lists(st.text(), min_size=1, max_size=4), st.data())
def test_chosen_labels_are_the_strings_that_they_stand_for(
    labels: list[str], data: st.DataObject
) -> None:
    codes = data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=20))
    strings = [labels[code] for code in codes]
    chosen = Chosen(Labels(labels), np.array(codes, np.int64))
    tensor = Tensor("x", "BYTES", (len(codes),), chosen)
    plain = tensor_from_values("x", "BYTES", [len(codes)], strings)
    assert tensor.to_list() == strings
    assert tensor.to_bytes() == plain.to_bytes()


SIZE = st.one_of(st.integers(-1, 6), st.integers(2**31, 2**65), st.booleans(), st.none())


@given(
    st.sampled_from([*DATATYPES, "FP8", "bytes", ""]),
    st.lists(SIZE, max_size=4),
    st.binary(max_size=64),
)
def test_any_bytes_are_a_tensor_or_a_request_error(
    datatype: str, shape: list[object], raw: bytes
) -> None:
    with suppress(RequestError):
        tensor = tensor_from_bytes("x", datatype, shape, raw)
        if datatype == "BYTES":
            assert join_elements(tensor.elements()) == raw
        assert tensor.to_bytes() == raw


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just({})),
    lambda children: st.lists(children, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(DATATYPES),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.lists(JSON, max_size=6),
)
def test_any_values_are_a_tensor_or_a_request_error(
    datatype: str, shape: list[int], values: list[Any]
) -> None:
    with suppress(RequestError):
        tensor = tensor_from_values("x", datatype, shape, values)
        assert len(tensor.data) == math.prod(shape)


def test_a_missing_value_may_be_null() -> None:
    numbers = tensor_from_values("x", "FP64", [2], [1.5, None])
    assert numbers.to_list()[0] == 1.5
    assert math.isnan(numbers.to_list()[1])
    strings = tensor_from_values("x", "BYTES", [2], ["a", None])
    assert strings.to_list() == ["a", None]
    assert strings.to_bytes() == b"\1\0\0\0a\0\0\0\0"


@pytest.mark.parametrize(
    ("datatype", "shape", "values", "named"),
    [
        ("FP64", [1], ["1"], "not a number"),
        ("FP64", [1], [True], "not a number"),
        ("INT64", [1], [1.0], "whole"),
        ("INT8", [1], [128], "fit INT8"),
        ("UINT8", [1], [-1], "fit UINT8"),
        ("UINT64", [1], [2**64], "fit UINT64"),
        ("FP64", [1], [10**400], "fit FP64"),
        ("BOOL", [1], [1], "true or false"),
        ("BYTES", [1], [1], "not a string"),
        ("FP64", [2], [1.0], "2 elements"),
        ("FP64", [2, 2], [[1.0, 2.0], [3.0]], "nested as its shape"),
        ("FP64", [2, 2], [[1.0, 2.0], 3.0], "nested as its shape"),
        ("FP64", [2], [[1.0], [2.0]], "nested as its shape"),
        ("FP64", [], [1.0], "shape"),
        ("FP64", [1] * 9, [1.0], "shape"),
        ("FP64", ["1"], [1.0], "shape"),
    ],
)
def test_what_does_not_fit_is_refused(
    datatype: str, shape: list[Any], values: list[Any], named: str
) -> None:
    with pytest.raises(RequestError, match=named) as raised:
        tensor_from_values("size", datatype, shape, values)
    assert "'size'" in str(raised.value)
    assert raised.value.status == 400


def test_a_boolean_is_a_byte_of_0_or_1() -> None:
    with pytest.raises(RequestError, match="0 or 1: 2"):
        tensor_from_bytes("new", "BOOL", [2], b"\0\2")


def test_bytes_of_fixed_size_are_not_copied() -> None:
    raw = np.arange(4.0).tobytes()
    read = tensor_from_bytes("x", "FP64", [4], memoryview(raw))
    assert isinstance(read.data, np.ndarray)
    assert read.data.__array_interface__["data"][0] == np.frombuffer(raw).ctypes.data


def test_text_that_is_none_cannot_be_json() -> None:
    tensor = tensor_from_bytes("colour", "BYTES", [1], b"\1\0\0\0\xff")
    with pytest.raises(RequestError, match="'colour' is not text in UTF-8"):
        tensor.to_list()
    assert isinstance(tensor, Tensor)
