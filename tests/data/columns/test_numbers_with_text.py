from __future__ import annotations

import pyarrow as pa
import pytest

from rayml.data.columns.numbers_with_text import (
    are_measurements,
    has_decimal_commas,
    texts_among_numbers,
)

NUMBERS = [f"{i / 10}" for i in range(60)]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([*NUMBERS, "?", "?", "unknown", None], {"?": 2, "unknown": 1}),
        ([*NUMBERS, None], {}),
        ([*NUMBERS, *["?"] * 60], {}),  # hardly numbers
        ([*NUMBERS, "a", "b", "c", "d"], {}),  # categories of their own
        (["1", "2", "3", "other"] * 20, {}),  # codes
        ([f"0{i}100" for i in range(60)] + ["?"], {}),  # postal codes
        (["red", "blue"] * 30, {}),
        ([], {}),
    ],
)
def test_few_texts_among_numbers_are_found(values: list[str | None], found: dict[str, int]) -> None:
    assert texts_among_numbers(pa.chunked_array([pa.array(values, pa.string())])) == found


@pytest.mark.parametrize(
    ("values", "commas"),
    [
        (["1,5", "2", "-3,25", ",5", "?", "?", None], True),
        ([*NUMBERS], False),
        (["Graz, A", "1,5", "b", "c"], False),
        (["1,5 kg"], False),
        ([], False),
    ],
)
def test_decimal_commas_are_found(values: list[str | None], commas: bool) -> None:
    assert has_decimal_commas(pa.chunked_array([pa.array(values, pa.string())])) is commas


@pytest.mark.parametrize(
    ("values", "measured"),
    [
        (["1,5", "2.5", "?"], True),
        (["C100", "C101", "1.5"], False),
        (["100", "101"], False),
        ([], False),
    ],
)
def test_numbers_with_fractions_are_measurements(values: list[str], measured: bool) -> None:
    assert are_measurements(pa.array(values, pa.string())) is measured
