"""What a bundle is: its model, its metrics, and the decision about it; `bundle.json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from rayml import __version__
from rayml.config.components.stored_node import NodeField
from rayml.registry.promotion import PromotionDecision
from rayml.types import Count, Direction, settings

Metrics = Mapping[str, Annotated[float | None, Field(allow_inf_nan=True)]]

MOST_MEMBERS = 1000


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
class BundleInfo:
    """What a bundle is.

    Attributes:
        name: name of the model in the registry.
        model: component of the module or the estimator; `Trust` decides whether it may be built.
        metric: name of the metric that chose it.
        direction: whether more or less of the metric is better.
        metrics: by split, then by name; of an ensemble those of its members' mean.
        ensemble: number of members, `MOST_MEMBERS` at most; None where one model predicts.
        confirmed: over several seeds; None where the sweep's winner was not confirmed.
        decision: whether to promote it, and why; None where nothing was decided.
        created: time in UTC, ISO 8601.
        rayml: version of rayml that wrote it.
    """

    name: str
    model: NodeField
    metric: str
    direction: Direction
    metrics: Mapping[Literal["validation", "test"], Metrics]
    ensemble: Annotated[int, Field(ge=2, le=MOST_MEMBERS)] | None = None
    confirmed: ConfirmedMetric | None = None
    decision: PromotionDecision | None = None
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    rayml: str = __version__
