from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.kinds import ARROW_TYPES, parse, readable
from rayml.errors import SchemaError
from rayml.types import Kind

KINDS: tuple[Kind, ...] = ("numeric", "categorical", "boolean", "timestamp")


def read(values: pa.Array | list[object], kind: Kind) -> tuple[list[object], list[int]]:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    typed, misfit = parse(array, kind)
    assert typed.type == ARROW_TYPES[kind]
    return typed.to_pylist(), [i for i, wrong in enumerate(misfit) if wrong]


def test_numbers_of_text() -> None:
    text = ["1", " -2.5e3 ", "+.5", "7.", "nan", None, "x", "1,5", "inf", "1e999", "", "0x1", "1_0"]
    values, misfits = read(text, "numeric")
    assert values == [1.0, -2500.0, 0.5, 7.0, *[None] * 9]
    assert misfits == [6, 7, 8, 9, 10, 11, 12]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_text_of_a_float_is_read_to_the_same_bits(value: float) -> None:
    values, _ = read([repr(value)], "numeric")
    assert values == [value]


@given(st.lists(st.none() | st.text() | st.from_regex(r"[+-]?[0-9.]{0,6}(e[+-]?[0-9]{1,4})?")))
def test_any_text_is_read_value_by_value(text: list[str | None]) -> None:
    whole = pa.array(text, pa.string())
    for kind in KINDS:
        values, misfits = read(whole, kind)
        for i in range(len(text)):
            value, misfit = read(whole.slice(i, 1), kind)
            assert (value, misfit) == ([values[i]], [0] if i in misfits else [])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, None], pa.int8()),
        pa.array([1, 2, None], pa.uint64()),
        pa.array([1, 2, None], pa.float16()),
        pa.array([Decimal(1), Decimal(2), None]),
        pa.array(["1", "2.0", None]).dictionary_encode(),
        pa.array(["1", "2", None], pa.large_string()),
    ],
)
def test_numbers_of_every_type(values: pa.Array) -> None:
    assert read(values, "numeric") == ([1.0, 2.0, None], [])


def test_not_a_number_is_missing_and_infinity_is_a_misfit() -> None:
    assert read([1.0, math.nan, math.inf, -math.inf], "numeric") == (
        [1.0, None, None, None],
        [2, 3],
    )


def test_truth_values() -> None:
    text = ["true", "NO", " Yes", "1", "0", "False", None, "t", "2"]
    expected = [True, False, True, True, False, False, None, None, None]
    assert read(text, "boolean") == (expected, [7, 8])
    assert read([1, 0, 2, None], "boolean") == ([True, False, None, None], [2])
    assert read([True, None], "boolean") == ([True, None], [])


def test_times_of_text() -> None:
    text = [
        "2024-05-17",
        "2024-05-17 08:30",
        "2024-05-17T08:30:00Z",
        "2024-05-17T10:30:00.1234567+02:00",
        "17.05.2024",
        "2024-13-01",
        None,
    ]
    values, misfits = read(text, "timestamp")
    assert values[:4] == [
        datetime(2024, 5, 17, tzinfo=UTC),
        datetime(2024, 5, 17, 8, 30, tzinfo=UTC),
        datetime(2024, 5, 17, 8, 30, tzinfo=UTC),
        datetime(2024, 5, 17, 8, 30, 0, 123456, tzinfo=UTC),
    ]
    assert misfits == [4, 5]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([date(2024, 5, 17)]),
        pa.array([date(2024, 5, 17)], pa.date64()),
        pa.array([datetime(2024, 5, 17)], pa.timestamp("s")),
        pa.array([datetime(2024, 5, 17, tzinfo=UTC)], pa.timestamp("ns", tz="Europe/Berlin")),
    ],
)
def test_times_of_every_type(values: pa.Array) -> None:
    assert read(values, "timestamp") == ([datetime(2024, 5, 17, tzinfo=UTC)], [])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([2**45, -(2**45), 0], pa.timestamp("s")),
        pa.array([2**55, -(2**55), 0], pa.timestamp("ms", tz="UTC")),
        pa.array([2**60, -(2**60), 0], pa.timestamp("us")),
        pa.array([2**30, -(2**30), 0], pa.date32()),
        pa.array(["+10000-01-01", "0001-01-01T00:00:00+14:00", "1970-01-01"]),
    ],
)
def test_times_beyond_the_calendar_are_misfits(values: pa.Array) -> None:
    assert read(values, "timestamp") == ([None, None, datetime(1970, 1, 1, tzinfo=UTC)], [0, 1])


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_the_calendar_has_its_first_and_last_second(unit: str) -> None:
    ends = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]
    expected = [time.replace(tzinfo=UTC) for time in ends]
    assert read(pa.array(ends, pa.timestamp(unit)), "timestamp") == (expected, [])


def test_categories_of_whole_numbers_look_alike_whatever_their_type() -> None:
    expected = (["1", "-2", None], [])
    assert read([1, -2, None], "categorical") == expected
    assert read([1.0, -2.0, math.nan], "categorical") == expected
    assert read(["1", "-2", None], "categorical") == expected
    assert read([1.5, True], "categorical")[0] == ["1.5", "1"]
    assert read([True, None], "categorical") == (["true", None], [])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1]), "timestamp"),
        (pa.array([True]), "timestamp"),
        (pa.array([date(2024, 1, 1)]), "numeric"),
        (pa.array([[1]]), "categorical"),
        (pa.array([time(1)]), "categorical"),
        (pa.array([b"x"]), "numeric"),
    ],
)
def test_types_that_no_kind_suits_are_refused(values: pa.Array, kind: Kind) -> None:
    assert not readable(values.type, kind)
    with pytest.raises(SchemaError, match=f"cannot be read as {kind}"):
        parse(values, kind)


def test_a_column_without_values_suits_every_kind() -> None:
    for kind in KINDS:
        assert read(pa.nulls(2), kind) == ([None, None], [])


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_a_missing_value_are_missing_in_any_kind(kind: Kind) -> None:
    tokens = ("?", "NA", "")
    good = {"numeric": "1", "categorical": "a", "boolean": "yes", "timestamp": "2024-05-17"}[kind]
    for text in (pa.array(["?", good, "NA", None, ""]), pa.array(["?", good, "NA", None, " "])):
        values, misfit = parse(text, kind, tokens)
        assert [value is None for value in values.to_pylist()[:4]] == [True, False, True, True]
        assert not misfit[:4].any()
        assert bool(misfit[4]) == (kind != "categorical" and text[4].as_py() == " ")
    encoded = pa.array(["?", good]).dictionary_encode()
    assert parse(encoded, kind, tokens)[0].null_count == 1
