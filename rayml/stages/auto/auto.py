"""Resolves `space=auto`: composes the config again with what the data and the time call for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rayml.config.compose import compose
from rayml.errors import InvalidConfigError
from rayml.stages.auto.policy import TableFacts, choose
from rayml.stages.checks.preflight import config_problems
from rayml.stages.commands import show
from rayml.stages.context import Context
from rayml.tasks.table import task_type

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset

AUTO = "space=auto"
SECONDS = "search.seconds"
_BUDGETS = ("trials", "seconds", "epochs", "cost")
_NAMED = ("model", "space", "experiment")  # an experiment may hold both


def with_space(context: Context, data: PreparedDataset) -> Context:
    """The context with the space, the budgets and the ensemble that `space=auto` chooses.

    A config with another space stays, as does that of a sweep that continues. What the user's
    command sets is not chosen.

    Raises:
        InvalidConfigError: the user's settings do not go together with what is chosen.
    """
    if context.config.auto is None or context.resumed is not None:
        return context
    choice = choose(_facts(context, data))
    # The user's seconds are those of the whole command.
    words = [each for each in context.overrides if _key(each) not in {"space", SECONDS}]
    given = [_key(each) for each in words]
    chosen = [each for each in choice.overrides if not _is_given(_key(each), given)]
    composed = compose([*chosen, *words], context.config_dirs)
    composed.plain["auto"] = {"overrides": chosen, "reasons": list(choice.reasons)}
    if problems := config_problems(composed):
        raise InvalidConfigError([f"with {AUTO}: {each}" for each in problems])
    for reason in choice.reasons:
        show.line(f"{AUTO}: {reason}")
    show.line(f"{AUTO} is {' '.join(chosen)}")
    return replace(context, composed=composed)


def implied(verb: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """What a command means by its overrides: `run` without a model or a space is `space=auto`."""
    keys = [_key(each) for each in overrides]
    named = any(_is_given(group, keys) or _below(group, keys) for group in _NAMED)
    return (AUTO,) if verb == "run" and not named else ()


def _facts(context: Context, data: PreparedDataset) -> TableFacts:
    shape, target = data.preprocessor.shape, data.preprocessor.target
    search = context.config.search
    keys = [_key(each) for each in context.overrides]
    given = {each: _is_given(f"search.{each}", keys) for each in _BUDGETS}
    models = [each.partition("=")[2] for each in context.overrides if each.startswith("model=")]
    return TableFacts(
        rows=data.rows["train"],
        numbers=shape.numeric,
        categories=len(shape.cardinalities),
        classes=len(target.classes),
        family=models[-1] if models else "",
        linear=task_type(target.task).likelihood is not None,
        trees=importlib.util.find_spec("lightgbm") is not None,
        seconds=search.seconds if given["seconds"] else None,
        bounded=any(given.values()) or _is_given("search", keys),
        spent=context.watch.total,
        start=context.watch.rows().get("start Ray", 0.0),
    )


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _is_given(key: str, given: Sequence[str]) -> bool:
    """Whether the user sets a key, or a group or section that it is in."""
    return any(key == each or key.startswith(f"{each}.") for each in given)


def _below(group: str, given: Sequence[str]) -> bool:
    return any(each.startswith(f"{group}.") for each in given)
