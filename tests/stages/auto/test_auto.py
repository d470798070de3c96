"""What `space=auto` composes beside the settings of the command."""

from __future__ import annotations

import pytest

from rayml.config.compose import compose
from rayml.stages.auto.auto import resolved
from rayml.stages.auto.implied import AUTO
from rayml.stages.auto.policy import TableFacts, choose
from rayml.stages.context import Context

SHOP = choose(TableFacts(rows=600, numbers=3, categories=2, classes=2, seconds=120))


def composed(*words: str) -> Context:
    overrides = (AUTO, "data=wine", *words)
    context = Context(composed=compose(overrides), overrides=overrides, words=overrides)
    return resolved(context, SHOP)


def test_the_seconds_of_the_command_are_divided_whatever_way_of_search_it_names() -> None:
    for words in (["search.seconds=120"], ["search=median", "search.seconds=120"]):
        search = composed(*words).config.search
        assert search.seconds is not None
        assert search.seconds < 120
        assert search.trials is None
    assert search.pruner.name == "median"


@pytest.mark.parametrize(
    "word", ["confirm.top=0", "confirm.ensemble=3", "confirm.ensemble=null", "confirm=none"]
)
def test_another_ensemble_is_the_command_s_alone(word: str) -> None:
    confirm = composed(word).config.confirm
    assert confirm.seeds == 5
    assert confirm.ensemble != "greedy"


def test_what_the_command_sets_beside_the_ensemble_stays() -> None:
    confirm = composed("confirm.members=3").config.confirm
    assert (confirm.members, confirm.ensemble, confirm.seeds) == (3, "greedy", 0)


def test_which_data_they_are_does_not_say_how_they_are_split() -> None:
    assert composed().config.data.split.folds == 5
    assert composed("data.split.folds=0").config.data.split.folds == 0


def test_a_command_that_continues_confirms_as_was_chosen() -> None:
    command = composed().command("confirm", "shop", about=("confirm",))
    assert "confirm=greedy" in command
    assert "confirm.seeds=0" in command
