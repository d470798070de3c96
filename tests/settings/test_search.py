"""Settings of objectives, constraints and prices are checked when they are made."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from rayml.settings.search import (
    BoundSettings,
    ConfirmSettings,
    IntervalSettings,
    ObjectiveEntry,
    ObjectiveSettings,
    PriceSettings,
    SearchSettings,
)

entries = pydantic.TypeAdapter(tuple[ObjectiveEntry, ...])


def test_a_name_alone_is_an_objective() -> None:
    given = ["parameters", {"metric": "profit", "direction": "maximize"}]
    assert entries.validate_python(given) == (
        ObjectiveSettings(metric="parameters"),
        ObjectiveSettings(metric="profit", direction="maximize"),
    )


@pytest.mark.parametrize("entry", ["", 3, {"metric": "x", "direction": "up"}, {"name": "x"}])
def test_other_entries_are_refused(entry: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        entries.validate_python([entry])


@pytest.mark.parametrize("bounds", [{"min": 1.0}, {"max": 1.0}, {"min": 1.0, "max": 1.0}])
def test_bounds(bounds: dict[str, float]) -> None:
    made = BoundSettings(**bounds)
    assert {k: v for k, v in vars(made).items() if v is not None and k in bounds} == bounds


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "the constraint has no bound"),
        ({"min": 2.0, "max": 1.0}, "min=2 is above max=1"),
        ({"max": float("nan")}, "finite"),
    ],
)
def test_bounds_that_bound_nothing(bounds: dict[str, float], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        BoundSettings(**bounds)


def test_a_price_is_not_negative() -> None:
    with pytest.raises(pydantic.ValidationError):
        PriceSettings(cpu_hour=-1.0)


@pytest.mark.parametrize("budget", [{"seconds": 9.0}, {"epochs": 9}, {"cost": 9.0}])
def test_a_search_ends_by_any_of_its_budgets(budget: dict[str, Any]) -> None:
    assert SearchSettings(trials=None, **budget).trials is None
    with pytest.raises(pydantic.ValidationError, match="so that the search never ends"):
        SearchSettings(trials=None)


def test_groups_of_intervals_need_scores() -> None:
    assert ConfirmSettings().intervals == IntervalSettings(rows=10_000, group=None)
    with pytest.raises(pydantic.ValidationError, match="keeps no scores"):
        IntervalSettings(rows=0, group="region")
    for bad in ({"rows": -1}, {"rows": 20_001}, {"group": ""}):
        with pytest.raises(pydantic.ValidationError):
            IntervalSettings(**bad)
    with pytest.raises(pydantic.ValidationError):
        ConfirmSettings(calibrate="always")  # type: ignore[arg-type]
