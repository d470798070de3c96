"""What a config says of decisions, in terms of a target."""

from __future__ import annotations

from collections.abc import Collection

from rayml.errors import ConfigError
from rayml.settings.decide import CostSettings, DecideSettings
from rayml.tasks.class_task import class_key
from rayml.tasks.decisions.rule import COST, DecisionRule, costs_problem, rule_of_costs
from rayml.tasks.table import task_type
from rayml.types import ClassLabel, TargetInfo

KEY = "confirm.decide"


def require_decidable(
    settings: DecideSettings,
    target: TargetInfo,
    metrics: Collection[str] = (),
    *,
    whole: bool = True,
) -> None:
    """Check that answers of a target can be decided so.

    Args:
        settings: of the decision.
        target: that is answered.
        metrics: names of the user's own.
        whole: whether all rows are seen; else a class of the costs may be among the others.

    Raises:
        ConfigError: the target has no classes or too many for the metric, or the costs do not suit
            them.
    """
    metric = settings.metric
    if metric is None:
        return
    if not target.classes:
        raise ConfigError(
            f"{KEY}.metric={metric} decides between classes, and {target.name!r} is a number",
            remedy=f"Remove {KEY}.metric",
        )
    possible = task_type(target.task).rule_metrics
    if metric not in possible:
        instead = f"Set it to {' or '.join(sorted(possible))}, or remove" if possible else "Remove"
        raise ConfigError(
            f"{KEY}.metric={metric} does not decide between the {len(target.classes)} classes of"
            f" {target.name!r} (data.task={target.task})",
            remedy=f"{instead} {KEY}.metric",
        )
    if metric == COST:
        if whole or len(target.classes) == task_type(target.task).class_counts[1]:
            cost_rule(settings, target)
        if COST in metrics:
            raise ConfigError(
                f"task.metrics has a metric named {COST!r}, which is the name of the mean cost of"
                f" {KEY}.metric={COST}",
                remedy="Give your metric another name",
            )


def cost_rule(settings: DecideSettings, target: TargetInfo) -> DecisionRule:
    """The rule of the costs.

    Raises:
        ConfigError: a label is no class, a cell is named twice, or a wrong answer costs less than
            the right one.
    """
    classes = target.classes
    costs = [[float(one != other) for other in range(len(classes))] for one in range(len(classes))]
    named: dict[tuple[int, int], CostSettings] = {}
    for each in settings.costs:
        cell = _code(each.actual, target), _code(each.predicted, target)
        if cell in named:
            raise ConfigError(
                f"{KEY}.costs names one cost twice: actual {each.actual!r}, predicted"
                f" {each.predicted!r}",
                remedy="Remove one of them",
            )
        named[cell] = each
        costs[cell[0]][cell[1]] = each.cost
    if costs_problem(costs):
        raise ConfigError(_why(costs, classes), remedy=f"Correct {KEY}.costs")
    return rule_of_costs(costs)


def _why(costs: list[list[float]], classes: tuple[ClassLabel, ...]) -> str:
    for label, at in zip(classes, range(len(classes)), strict=True):
        right, others = costs[at][at], [*costs[at][:at], *costs[at][at + 1 :]]
        if min(others) < right:
            return (
                f"{KEY}.costs makes a wrong answer for {label!r} cheaper ({min(others):g}) than the"
                f" right one ({right:g})"
            )
        if max(others) == right:
            break
    return f"{KEY}.costs makes every answer for {label!r} cost the same ({right:g})"


def _code(label: ClassLabel, target: TargetInfo) -> int:
    """Place of the class that a config names, whose YAML may read it as another type."""
    keys = [class_key(each) for each in target.classes]
    lowered = [key.lower() for key in keys]
    given = class_key(label)
    if given in keys:
        return keys.index(given)
    if lowered.count(given.lower()) == 1:
        return lowered.index(given.lower())
    shown = ", ".join(keys[:20]) + (", …" if len(keys) > 20 else "")
    raise ConfigError(
        f"{KEY}.costs names a class that {target.name!r} does not have",
        found=label,
        remedy=f"The classes are: {shown}",
    )
