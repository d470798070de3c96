"""Chooses the metric of a search if the config names none."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from rayml.stages.commands import show
from rayml.stages.context import Context
from rayml.tasks.table import task_type

if TYPE_CHECKING:
    from rayml.data.prepare.prepare import PreparedDataset


def with_metric(context: Context, data: PreparedDataset) -> Context:
    """The context with a metric that suits the classes of the data; prints which one.

    The metric of a sweep that continues stays, as does one that the config names.
    """
    config, target = context.config, data.preprocessor.target
    if context.resumed is not None or config.task.metric is not None or not target.classes:
        return context
    shares = data.class_shares()
    task = task_type(target.task)
    metric, usual = task.metric_for(shares), task.default_metric
    if metric == usual:
        return context
    if any(metric == each.metric for each in config.search.objectives):
        return context
    rarest = min(range(len(shares)), key=shares.__getitem__)
    show.line(
        f"the search optimises {metric}: only {100 * shares[rarest]:.2g} % of the training rows are"
        f" {target.classes[rarest]!r}, and {usual} would hardly see them (task.metric={usual} takes"
        " it all the same)"
    )
    plain = deepcopy(context.composed.plain)
    plain["task"]["metric"] = metric
    return replace(context, composed=replace(context.composed, plain=plain))
