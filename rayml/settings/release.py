"""Settings of canaries and their guards, checked when they are made."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rayml.types import Count, Fraction, NonNegative, Positive, settings

_KEY = re.compile(r"(header:[A-Za-z0-9-]+|column:.+)")


def _known_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"the key {key!r} is neither a header nor a column; write header:NAME or column:NAME"
        )
    return key


StickyKey = Annotated[str, AfterValidator(_known_key)]


@settings
class GuardSettings:
    """The limits that end a canary, and what makes it champion.

    Attributes:
        window_s: seconds that a canary is watched before it may be promoted.
        min_requests: predictions of the canary before its window may end, and before latency and
            distribution are judged. Errors are judged from the first request on.
        error_rate: most by which its share of failed requests may exceed the champion's; None does
            not watch errors.
        p99_ratio: most of its 99th percentile of latency over the champion's; None does not watch
            latency.
        distribution: most of the population stability index between its predictions and the
            champion's (0.1 is a small shift, 0.25 a large one); None does not watch it.
        metric: most by which its mean loss on labelled rows may exceed the champion's; the loss is
            0 or 1 for a class, the absolute error in standard deviations of the target for a
            value. None does not watch it.
        min_labels: labelled rows before the metric is judged.
        then: whether a canary that passes becomes champion (`promote`) or goes on (`keep`).
    """

    window_s: Positive = 600.0
    min_requests: Count = 200
    error_rate: NonNegative | None = 0.01
    p99_ratio: Annotated[float, Field(ge=1)] | None = 1.5
    distribution: Positive | None = 0.25
    metric: NonNegative | None = 0.02
    min_labels: Count = 100
    then: Literal["promote", "keep"] = "promote"


@settings
class CanarySettings:
    """A version that answers a share of the requests beside the champion.

    Attributes:
        version: number of a version, an alias, or `latest`; None for no canary.
        weight: share of the requests, or of the keys, that it answers.
        key: `header:NAME` or `column:NAME`; requests with the same value of that header, or of
            that column in their first row, are always answered by the same version. Without a
            key, or without a value of it, each request is drawn by chance.
        guards: see `GuardSettings`; None watches nothing.
    """

    version: str | int | None = None
    weight: Fraction = 0.05
    key: StickyKey | None = None
    guards: GuardSettings | None = Field(default_factory=GuardSettings)
