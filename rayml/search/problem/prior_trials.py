"""What a sampler knows besides its study's trials: those of other sweeps and of older spaces."""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from rayml.search.space.parameter import Params
from rayml.search.space.space import Space

Refit = Callable[[FrozenTrial], FrozenTrial | None]


@dataclass(frozen=True)
class PriorTrials:
    """Trials that inform a sampler and are none of its study.

    Attributes:
        trials: of other sweeps, over the study's space. Their numbers are negative; their values
            are ranks in their own sweep, between 0 and 1 in the order of the metric.
        suggestions: configurations to begin with, which were the best ones of other sweeps.
        refit: how the study's own trials look in its present space, None for one that does not
            fit it; None where all trials are of the present space.
    """

    trials: tuple[FrozenTrial, ...] = ()
    suggestions: tuple[Params, ...] = ()
    refit: Refit | None = None

    @property
    def matters(self) -> bool:
        """Whether a sampler sees anything else than its study."""
        return bool(self.trials) or self.refit is not None

    def over(
        self, space: Space, config: Mapping[str, Any], own: Sequence[FrozenTrial]
    ) -> PriorTrials:
        """This history for a study some of whose trials may be of an earlier space."""
        if all(_native(trial, space, config) for trial in own):
            return self
        return replace(self, refit=lambda trial: refitted(trial, space, config))


class Ranks:
    """Places values by their rank among those of one sweep.

    Args:
        values: all of its values; the more, the finer.
    """

    def __init__(self, values: Sequence[float] = ()) -> None:
        self._sorted = sorted(values)

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Take in a value."""
        insort(self._sorted, value)

    def rank(self, value: float) -> float:
        """Between 0 and 1; equal values have their middle rank."""
        low, high = bisect_left(self._sorted, value), bisect_right(self._sorted, value)
        return (low + high) / 2 / len(self._sorted)

    def value(self, rank: float) -> float:
        """The value at a rank, from the smallest to the largest one; the rank where there are none.

        A rank of another sweep so becomes a value on this one's scale, and never a better one
        than its best.
        """
        if len(self._sorted) < 2:
            return rank
        place = rank * (len(self._sorted) - 1)
        below = min(int(place), len(self._sorted) - 2)
        one, other = self._sorted[below : below + 2]
        return one + (place - below) * (other - one)


def refitted(trial: FrozenTrial, space: Space, config: Mapping[str, Any]) -> FrozenTrial | None:
    """A trial as the space would have proposed it; None if it would not."""
    params = space.adopt(trial.params, config)
    if params is None or not _fixed_alike(trial.params, params, config):
        return None
    copied = copy.copy(trial)
    copied.params = params
    copied.distributions = space.distributions(params)
    return copied


def is_informative(trial: FrozenTrial) -> bool:
    """Whether a trial has a value that a sampler can learn from."""
    if trial.state == TrialState.COMPLETE:
        return True
    return trial.state == TrialState.PRUNED and bool(trial.intermediate_values)


def _native(trial: FrozenTrial, space: Space, config: Mapping[str, Any]) -> bool:
    return trial.distributions == space.distributions(trial.params) and space.contains(
        trial.params, config
    )


def _fixed_alike(before: Params, now: Params, config: Mapping[str, Any]) -> bool:
    """Whether what is no longer searched had the value that the config holds."""
    for key in before.keys() - now.keys():
        node: Any = config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node != before[key]:
            return False
    return True
