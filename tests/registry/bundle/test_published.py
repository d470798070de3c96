from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.registry.bundle.published import published
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.types import TargetInfo

TARGET = TargetInfo(name="y", task="binary", classes=("no", "yes"), mean=0.0, scale=1.0)


def shown(column: InputColumn, most: int = 100) -> InputColumn:
    (found,) = published(Signature(inputs=(column,), target=TARGET, max_published=most)).inputs
    return found


def test_few_values_are_published() -> None:
    colour = InputColumn(
        name="colour", kind="categorical", categories=("red", "blue"), example="red"
    )
    size = InputColumn(name="size", kind="numeric", minimum=1.25, maximum=2.75, example=2.5)
    assert shown(colour) == colour
    assert shown(size) == size
    assert shown(colour, 1).categories == ()


@pytest.mark.parametrize("why", ["private", "identifier"])
def test_nothing_is_published_of_who_is_hidden(why: str) -> None:
    for column in (
        InputColumn(
            name="a", kind="categorical", categories=("red", "blue"), example="red", withheld=why
        ),
        InputColumn(name="b", kind="numeric", minimum=1.0, maximum=2.0, example=1.5, withheld=why),
        InputColumn(name="c", kind="boolean", example=True, withheld=why),
        InputColumn(name="d", kind="timestamp", example="2024-05-17T08:30:00+00:00", withheld=why),
    ):
        found = shown(column)
        assert (found.categories, found.minimum, found.maximum, found.example) == (
            (), None, None, None
        )  # fmt: skip
        assert found.withheld == why


def test_a_bundle_of_an_older_rayml_publishes_no_more() -> None:
    customers = tuple(f"c{number}" for number in range(101))
    assert (
        shown(InputColumn(name="customer", kind="categorical", categories=customers)).withheld
        == "many"
    )
    few = InputColumn(
        name="customer_id", kind="categorical", categories=customers[:3], example="c1"
    )
    assert shown(few).withheld == "identifier"
    assert shown(few).categories == ()


def test_of_many_times_the_day_is_an_example() -> None:
    seen = InputColumn(
        name="at", kind="timestamp", example="2024-05-17T08:30:12+00:00", withheld="many"
    )
    assert shown(seen).example == "2024-05-17"


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.floats(0, 1))
def test_a_range_of_many_numbers_holds_the_true_one(low: float, width: float, at: float) -> None:
    high = low + width
    found = shown(
        InputColumn(
            name="x",
            kind="numeric",
            minimum=low,
            maximum=high,
            example=low + at * width,
            withheld="many",
        )
    )
    slack = 1e-9 * max(abs(low), abs(high))
    assert found.minimum is not None
    assert found.maximum is not None
    assert low - 0.101 * width - slack <= found.minimum <= low + slack
    assert high - slack <= found.maximum <= high + 0.101 * width + slack


def test_numbers_of_many_are_coarse() -> None:
    pay = InputColumn(
        name="pay",
        kind="numeric",
        minimum=1234.56,
        maximum=98765.43,
        example=4567.89,
        withheld="many",
    )
    assert (shown(pay).minimum, shown(pay).maximum, shown(pay).example) == (1000, 99000, 5000)
