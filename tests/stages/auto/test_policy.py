"""The policy of `space=auto`: what is left out, how the time is divided, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.config.compose import compose
from rayml.search.space.space import Space
from rayml.search.space.suggestions import adopt_suggestions
from rayml.stages.auto.policy import (
    FOLDS_KEY,
    LEAST_SECONDS,
    USUAL_TRIALS,
    TableFacts,
    choose,
    listed,
)
from rayml.stages.checks.preflight import trial_config

SHOP = TableFacts(rows=6_000, numbers=10, categories=7, classes=2, seconds=300)


def overrides(facts: TableFacts) -> dict[str, str]:
    pairs = [each.partition("=") for each in choose(facts).overrides]
    return {key: value for key, _, value in pairs}


def test_a_usual_table_is_searched_by_all_families() -> None:
    found = overrides(SHOP)
    assert found["space"] == "all"
    assert found["confirm"] == "greedy"
    assert not any(key.startswith(("~", "space.model")) for key in found)


def test_the_time_of_the_command_is_divided() -> None:
    found = overrides(replace(SHOP, spent=20, start=4))
    # A tenth and four times the start of Ray are kept for the ensemble and the endpoint.
    assert found["search.seconds"] == "234"
    assert found["search.trials"] == "null"
    assert found["confirm.seconds"] == "15"


def test_a_search_has_some_seconds_however_late_it_is() -> None:
    assert (
        overrides(replace(SHOP, seconds=10, spent=100))["search.seconds"] == f"{LEAST_SECONDS:.0f}"
    )


def test_without_a_budget_there_is_a_usual_one() -> None:
    assert overrides(replace(SHOP, seconds=None))["search.trials"] == str(USUAL_TRIALS)


def test_a_budget_of_another_kind_is_the_only_one() -> None:
    assert "search.seconds" not in overrides(replace(SHOP, seconds=None, bounded=True))


@pytest.mark.parametrize(
    ("facts", "family", "why"),
    [
        (replace(SHOP, trees=False), "lightgbm", "pip install"),
        (replace(SHOP, classes=200), "lightgbm", "200 classes"),
        (replace(SHOP, rows=5_000_000), "linear", "5,000,000 rows"),
        (replace(SHOP, classes=200), "linear", "2,000 weights"),
        (replace(SHOP, linear=False), "linear", "loss of your own task"),
    ],
)
def test_a_family_that_does_not_suit_is_left_out(facts: TableFacts, family: str, why: str) -> None:
    found = choose(facts)
    assert f"~space.model.{family}" in found.overrides
    assert any(why in each for each in found.reasons)


def test_the_space_of_a_chosen_model_is_taken() -> None:
    assert overrides(replace(SHOP, family="lightgbm"))["space"] == "lightgbm"


@given(
    rows=st.integers(1, 10**8),
    numbers=st.integers(0, 10**5),
    categories=st.integers(0, 10**4),
    classes=st.integers(0, 10**4),
    trees=st.booleans(),
    linear=st.booleans(),
    seconds=st.none() | st.floats(1, 10**6),
    spent=st.floats(0, 10**6),
)
def test_whatever_the_table_some_family_is_searched_for_some_time(
    rows: int,
    numbers: int,
    categories: int,
    classes: int,
    *,
    trees: bool,
    linear: bool,
    seconds: float | None,
    spent: float,
) -> None:
    facts = TableFacts(
        rows, numbers, categories, classes, trees=trees, linear=linear, seconds=seconds, spent=spent
    )
    found = choose(facts)
    families = next((each for each in found.overrides if "family.choices" in each), "mlp")
    assert "mlp" in families
    (given,) = [each for each in found.overrides if each.startswith("search.seconds=")]
    assert float(given.partition("=")[2]) >= LEAST_SECONDS
    assert all(each.strip() for each in found.reasons)


@pytest.mark.parametrize(
    ("facts", "space"),
    [
        (SHOP, "all"),
        (replace(SHOP, rows=100, validation=30), "all"),
        (replace(SHOP, rows=60_000), "all_fast"),
        (replace(SHOP, seconds=30), "all_fast"),
        (replace(SHOP, rows=300_000), "all_fast"),
        (replace(SHOP, numbers=500), "all_wide"),
        (replace(SHOP, numbers=500, rows=9_000, validation=900), "all_wide"),
    ],
)
def test_what_is_suggested_fits_the_space(facts: TableFacts, space: str) -> None:
    chosen = choose(facts).overrides
    assert f"space={space}" in chosen
    composed = compose(["data=wine", *chosen])
    config = composed.typed()
    found = adopt_suggestions(
        config.search.suggestions, Space.parse(config.space), trial_config(composed.plain)
    )
    assert not found.unfit


@pytest.mark.parametrize(
    "facts",
    [
        SHOP,
        replace(SHOP, trees=False, numbers=5_000),
        replace(SHOP, classes=200, rows=5_000_000),
        replace(SHOP, classes=200, linear=False, seconds=None),
        replace(SHOP, family="lightgbm", bounded=True, seconds=None),
    ],
)
def test_what_is_chosen_composes(facts: TableFacts) -> None:
    chosen = choose(facts).overrides
    model = [f"model={facts.family}"] if facts.family else []
    assert compose(["data=wine", *chosen, *model]).problems == ()


@pytest.mark.parametrize(
    ("facts", "folded"),
    [
        (SHOP, True),
        (replace(SHOP, rarest=20), True),
        (replace(SHOP, rarest=14), False),  # some fold might have none of that class
        (replace(SHOP, rows=9_000, validation=2_000), True),
        (replace(SHOP, rows=90_000, validation=20_000), True),  # in 270 seconds
        (replace(SHOP, rows=90_000, validation=20_000, seconds=60), False),
        (replace(SHOP, rows=9_000, validation=2_000, seconds=None, bounded=True), False),
        (replace(SHOP, rows=10, validation=2), False),
        (replace(SHOP, numbers=5_000), False),
    ],
)
def test_rows_are_dealt_into_folds_where_time_allows(facts: TableFacts, folded: bool) -> None:
    assert (FOLDS_KEY in overrides(facts)) == folded


def test_what_the_command_sets_is_not_chosen() -> None:
    choice = choose(SHOP)
    assert any(each.startswith(FOLDS_KEY) for each in choice.overrides)
    for key in (FOLDS_KEY, "data.split", "data"):
        left = choice.besides([key])
        assert not any(each.startswith(FOLDS_KEY) for each in left.overrides)
        assert len(left.reasons) == len(choice.reasons) - 1
    # Of a decision that is left in part the reason stays.
    assert choice.besides(["confirm"]).reasons == choice.reasons[:-1]
    assert choice.besides(["confirm.seeds"]).reasons == choice.reasons


def test_words_are_listed_as_in_a_sentence() -> None:
    assert [listed(each) for each in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
