"""Resolves `space=auto`: composes the config again with what the data and the time call for."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

from rayml.config.compose import compose
from rayml.errors import DataError, InvalidConfigError
from rayml.stages.auto.implied import AUTO
from rayml.stages.auto.policy import FOLDS_KEY, AutoChoice, TableFacts, choose, is_given, key_of
from rayml.stages.checks.preflight import config_problems
from rayml.stages.commands import show
from rayml.stages.context import Context
from rayml.stages.prepare import prepare_data
from rayml.tasks.table import task_type

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset

SECONDS = "search.seconds"
ENSEMBLES = ("confirm.top", "confirm.ensemble")  # they exclude what is chosen beside the other
_BUDGETS = ("trials", "seconds", "epochs", "cost")


def with_space(context: Context, data: PreparedDataset) -> tuple[Context, PreparedDataset]:
    """The context with what `space=auto` chooses, and the data, dealt into folds if it chooses so.

    A config with another space stays, as does that of a sweep that continues. What the user's
    command sets is not chosen.

    Raises:
        InvalidConfigError: the user's settings do not go together with what is chosen.
    """
    if context.config.auto is None or context.resumed is not None:
        return context, data
    choice = choose(_facts(context, data))
    found = resolved(context, choice)
    if found.config.data != context.config.data:
        try:
            data = prepare_data(found, again=True)
        except DataError as error:
            # Of few groups or stretches of time, say, which show only when rows are dealt.
            show.line(f"{AUTO}: no folds: {error}")
            choice = choice.besides([FOLDS_KEY])
            found = resolved(context, choice)
    auto = found.config.auto
    assert auto is not None
    for reason in auto.reasons:
        show.line(f"{AUTO}: {reason}")
    show.line(f"{AUTO} stands for {' '.join(auto.overrides)}")
    return found, data


def resolved(context: Context, choice: AutoChoice) -> Context:
    """The context with a choice, as far as the command does not set it itself.

    Raises:
        InvalidConfigError: the user's settings do not go together with what is chosen.
    """
    # The user's seconds are those of the whole command.
    words = [each for each in context.overrides if key_of(each) not in {"space", SECONDS}]
    # Neither which data they are says how they are split, nor how a search goes how long it is.
    given = [key_of(each) for each in words]
    choice = choice.besides([each for each in given if each not in {"data", "search"}])
    if any(is_given(key, given) for key in ENSEMBLES):
        choice = choice.besides(["confirm"])
    composed = compose([*choice.overrides, *words], context.config_dirs)
    composed.plain["auto"] = {
        "overrides": list(choice.overrides),
        "reasons": list(choice.reasons),
    }
    if problems := config_problems(composed):
        raise InvalidConfigError([f"with {AUTO}: {each}" for each in problems])
    # A command that continues this one needs what confirms it.
    more = [each for each in choice.overrides if is_given(key_of(each), ["confirm"])]
    return replace(context, composed=composed, words=(*context.words, *more))


def _facts(context: Context, data: PreparedDataset) -> TableFacts:
    shape, target = data.preprocessor.shape, data.preprocessor.target
    search = context.config.search
    keys = [key_of(each) for each in context.overrides]
    given = {each: is_given(f"search.{each}", keys) for each in _BUDGETS}
    models = [each.partition("=")[2] for each in context.overrides if each.startswith("model=")]
    return TableFacts(
        rows=data.rows["train"],
        validation=data.rows["validation"],
        rarest=_rarest(data),
        numbers=shape.numeric,
        categories=len(shape.cardinalities),
        codes=sum(shape.cardinalities),
        classes=len(target.classes),
        family=models[-1] if models else "",
        linear=task_type(target.task).likelihood is not None,
        trees=importlib.util.find_spec("lightgbm") is not None,
        seconds=search.seconds if given["seconds"] else None,
        bounded=any(given.values()) or is_given("search", keys),
        spent=context.watch.total,
        start=context.watch.rows().get("start Ray", 0.0),
    )


def _rarest(data: PreparedDataset) -> int | None:
    if not data.preprocessor.target.classes:
        return None
    return round(min(data.class_shares()) * data.rows["train"])
