"""Settings of which class a classifier answers, checked when they are made."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

from rayml.tasks.decisions.rule import COST, MOST_COST, DecisionMetric
from rayml.types import ClassLabel, settings


@settings
class CostSettings:
    """What it costs to answer a class where another one, or the same one, is true.

    Attributes:
        actual: label of the true class.
        predicted: label that is answered.
        cost: of such a row; negative where it gains.
    """

    actual: ClassLabel
    predicted: ClassLabel
    cost: Annotated[float, Field(ge=-MOST_COST, le=MOST_COST)]


@settings
class DecideSettings:
    """Which class a classifier answers; without a metric the most probable one.

    Attributes:
        metric: that the answered class is best for. `accuracy` and `f1` choose the threshold of two
            classes on rows that did not train the model, `balanced_accuracy` also weighs several
            classes; each only where that gains more than chance on rows that did not set it.
            `cost` answers the class whose expected cost is the least.
        costs: of `metric=cost`; a wrong answer that is not named costs 1, a right one 0.
    """

    metric: DecisionMetric | None = None
    costs: tuple[CostSettings, ...] = ()

    @pydantic.model_validator(mode="after")
    def _has_costs(self) -> DecideSettings:
        if self.costs and self.metric != COST:
            raise ValueError("costs are set, and only metric=cost decides by them; set metric=cost")
        if self.metric == COST and not self.costs:
            raise ValueError(
                "metric=cost has no costs; name them, as"
                " costs=[{actual: ill, predicted: well, cost: 5}]"
            )
        return self
