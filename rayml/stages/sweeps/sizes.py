"""Resolves `model.k=auto` and `model.width=auto` by the speed of this machine."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rayml.settings.train import TrainSettings
from rayml.stages.commands import show
from rayml.stages.context import Context
from rayml.train.build import train_settings
from rayml.train.speed.member_sizes import AUTO, Work, choose_sizes, measured_pace

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset

_KEYS = ("k", "width")


def with_sizes(context: Context, data: PreparedDataset) -> Context:
    """The context with numbers for members and width that are `auto`; prints which.

    A sweep that continues has numbers already.
    """
    model = context.composed.plain["model"]
    if context.resumed is not None or all(model.get(key) != AUTO for key in _KEYS):
        return context
    settings = train_settings(context.composed.plain["train"])
    given = {key: None if model.get(key) == AUTO else model[key] for key in _KEYS}
    pace = measured_pace(settings.threads)
    chosen = dict(
        zip(_KEYS, choose_sizes(_work(model, settings, data), pace, **given), strict=True)
    )
    sizes = " ".join(f"model.{key}={chosen[key]}" for key in _KEYS if given[key] is None)
    show.line(f"{sizes}, as this machine multiplies {pace / 1e9:.0f} billion numbers a second")
    plain = deepcopy(context.composed.plain)
    plain["model"].update(chosen)
    return replace(context, composed=replace(context.composed, plain=plain))


def _work(model: dict[str, Any], settings: TrainSettings, data: PreparedDataset) -> Work:
    shape = data.preprocessor.shape
    number = 1 if model["numeric"] == "none" else model["numeric_width"]
    # Where none is named a category's vector has 16 numbers at most.
    category = model["embedding"] or 16
    passes = settings.epochs * math.ceil(data.rows["train"] / settings.batch_size)
    return Work(
        inputs=shape.numeric * number + len(shape.cardinalities) * category,
        depth=model["depth"],
        batch=settings.batch_size,
        steps=passes if settings.steps is None else settings.steps,
    )
