"""Settings of what a search seeks and what it may spend, checked when they are made."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field

from rayml.types import Direction, NonNegative, settings


@settings
class ObjectiveSettings:
    """A further objective of a search, beside `task.metric`.

    Attributes:
        metric: a metric of the task or the user's, `loss`, `parameters` or `train_seconds`.
        direction: which values are better, for a metric that does not say so itself.
    """

    metric: Annotated[str, Field(min_length=1)]
    direction: Direction | None = None


def _named(entry: Any) -> Any:
    return {"metric": entry} if isinstance(entry, str) else entry


# A name alone is enough where the metric has a direction of its own.
ObjectiveEntry = Annotated[ObjectiveSettings, BeforeValidator(_named)]


@settings
class BoundSettings:
    """The values of a quantity that a trial may have, the bounds included."""

    min: float | None = None
    max: float | None = None

    @pydantic.model_validator(mode="after")
    def _bounds(self) -> BoundSettings:
        if self.min is None and self.max is None:
            raise ValueError("a constraint has a min, a max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min is at most max, got {self.min} and {self.max}")
        return self


@settings
class PriceSettings:
    """What an hour of one CPU core and of one GPU costs, in a unit of the user's."""

    cpu_hour: NonNegative = 0.0
    gpu_hour: NonNegative = 0.0
