"""Decision rules: which class is answered, given the probabilities of all of them.

Without one the most probable class is answered. A threshold answers the positive class of two from
a probability on, and a matrix of costs the class whose expected cost is the least (Elkan 2001, "The
Foundations of Cost-Sensitive Learning").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from rayml.types import Count, settings

DecisionMetric = Literal["accuracy", "f1", "balanced_accuracy", "cost"]
ByThreshold = Literal["accuracy", "f1", "balanced_accuracy"]
COST: Final = "cost"
"""Name of the metric that is the mean cost of a row."""

HALF = 0.5
MOST_COST = 1e9
MOST_CLASSES = 1000
EVEN = 1e-12
"""Expected costs that are closer, as a share of the largest cost, count as equal."""

Cost = Annotated[float, Field(ge=-MOST_COST, le=MOST_COST)]
Costs = tuple[Annotated[tuple[Cost, ...], Field(max_length=MOST_CLASSES)], ...]


@settings
class Compared:
    """What a rule is worth on rows that did not set it.

    Attributes:
        usual: value of the metric where the most probable class is answered.
        decided: value of the metric by the rule.
        rows: that were compared.
    """

    usual: float
    decided: float
    rows: Count


@settings
class DecisionRule:
    """How a classifier answers a class.

    Attributes:
        metric: that it is chosen for.
        threshold: of two classes the probability of the positive one from which on it is answered;
            None of several classes.
        costs: of a row by its true class, then by the answered one, in the order of the target's
            classes; None where a metric chose the threshold.
        compared: on rows that did not set it; None where the user's costs set it.
    """

    metric: DecisionMetric
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    costs: Annotated[Costs, Field(max_length=MOST_CLASSES)] | None = None
    compared: Compared | None = None

    @pydantic.model_validator(mode="after")
    def _decides(self) -> DecisionRule:
        if self.threshold is None and self.costs is None:
            raise ValueError("a rule has a threshold or costs")
        if self.metric == COST and self.costs is None:
            raise ValueError("a rule of the metric cost has costs")
        if self.costs is not None:
            if problem := costs_problem(self.costs):
                raise ValueError(problem)
            if len(self.costs) == 2 and self.threshold is None:
                raise ValueError("a rule for two classes has a threshold")
        return self

    @property
    def by_cost(self) -> bool:
        """Whether the user's costs set it."""
        return self.metric == COST

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The costs as an array, [true classes, answered classes]."""
        return np.array(self.costs, np.float64)


def rule_of_costs(costs: Sequence[Sequence[float]], metric: DecisionMetric = COST) -> DecisionRule:
    """The rule by which the expected cost is the least.

    Args:
        costs: [true classes][answered classes], without the problems of `costs_problem`.
        metric: that the costs stand for.
    """
    rows = tuple(tuple(float(each) for each in row) for row in costs)
    threshold = threshold_of_costs(rows) if len(rows) == 2 else None
    return DecisionRule(metric=metric, threshold=threshold, costs=rows)


def threshold_of_costs(costs: Sequence[Sequence[float]]) -> float:
    """The probability of the second of two classes from which on it costs no more to answer it."""
    (right_no, wrong_yes), (wrong_no, right_yes) = costs
    alarm, miss = wrong_yes - right_no, wrong_no - right_yes
    return alarm / (alarm + miss)


def costs_problem(costs: Sequence[Sequence[float]]) -> str:
    """What is wrong with a matrix of costs; empty if nothing is."""
    if any(len(row) != len(costs) for row in costs):
        return "costs are no square matrix"
    if not all(math.isfinite(each) for row in costs for each in row):
        return "a cost is not finite"
    for at, row in enumerate(costs):
        others = [*row[:at], *row[at + 1 :]]
        if not others or min(others) < row[at] or max(others) == row[at]:
            return (
                "a wrong answer costs less than the right one, or none costs more, for the class"
                f" at place {at}"
            )
    return ""
