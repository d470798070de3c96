"""What a bundle is: its model, its metrics, and the decision about it; `bundle.json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from rayml import __version__
from rayml.config.components.stored_node import NodeField
from rayml.registry.promotion import PromotionDecision
from rayml.tasks.decisions.rule import DecisionRule
from rayml.tasks.temperature import LEAST, MOST
from rayml.types import Count, Direction, settings

Metrics = Mapping[str, Annotated[float | None, Field(allow_inf_nan=True)]]

MOST_MEMBERS = 1000
MOST_VOTES = 1000


@settings
class ConfirmedMetric:
    """What the configuration of a bundle is worth, over several trainings.

    Attributes:
        seeds: number of trainings.
        mean: mean of the bundle's metric on validation.
        low: lower end of the mean's 95 % bootstrap interval.
        high: upper end.
    """

    seeds: Count
    mean: float
    low: float
    high: float


@settings
class GroupInfo:
    """Members of one structure, in an ensemble of several structures.

    Attributes:
        model: component of their module or estimator.
        votes: of each member, how many times its prediction counts in the mean.
    """

    model: NodeField
    votes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_VOTES)], ...],
        Field(min_length=1, max_length=MOST_MEMBERS),
    ]


@settings
class BundleInfo:
    """What a bundle is.

    Attributes:
        name: name of the model in the registry.
        model: component of the module or the estimator; `Trust` decides whether it may be built.
            Of an ensemble of several structures that of the sweep's winner.
        metric: name of the metric that chose it.
        direction: whether more or less of the metric is better.
        metrics: by split, then by name; of an ensemble those of its members' mean.
        ensemble: number of members, `MOST_MEMBERS` at most; None where one model predicts.
        groups: the members by their structures; empty where all are of `model`.
        confirmed: over several seeds; None where the sweep's winner was not confirmed.
        decision: whether to promote it, and why; None where nothing was decided.
        temperature: that its log-probabilities are divided by, see `rayml.tasks.temperature`.
        decision_rule: by which a class is answered; None answers the most probable one.
        created: time in UTC, ISO 8601.
        rayml: version of rayml that wrote it.
    """

    name: str
    model: NodeField
    metric: str
    direction: Direction
    metrics: Mapping[Literal["validation", "test"], Metrics]
    ensemble: Annotated[int, Field(ge=2, le=MOST_MEMBERS)] | None = None
    groups: Annotated[tuple[GroupInfo, ...], Field(max_length=MOST_MEMBERS)] = ()
    confirmed: ConfirmedMetric | None = None
    decision: PromotionDecision | None = None
    temperature: Annotated[float, Field(ge=LEAST, le=MOST)] = 1.0
    decision_rule: DecisionRule | None = None
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    rayml: str = __version__

    @pydantic.model_validator(mode="after")
    def _counts(self) -> BundleInfo:
        members = sum(len(each.votes) for each in self.groups)
        if self.groups and members != self.ensemble:
            raise ValueError(f"ensemble is {self.ensemble}, and its groups have {members} members")
        if sum(sum(each.votes) for each in self.groups) > MOST_VOTES:
            raise ValueError(f"the groups have more than {MOST_VOTES} votes")
        return self
