"""Which family of models the next trial trains, so that none starves: a pure policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def starved(families: Sequence[str], trained: Sequence[str]) -> str | None:
    """The family that the next trial must be of; None leaves it to the sampler.

    Of the trials so far each family has at least half the share that it would have if all had the
    same, so that a family that learns slowly at first, or is proposed late, is not given up by a
    few bad draws.

    Args:
        families: that are searched, in their order.
        trained: the families of the trials so far.
    """
    counts = Counter(trained)
    least = min(families, key=lambda each: counts[each])
    return least if 2 * len(families) * counts[least] <= len(trained) else None
