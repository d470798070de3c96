"""Which trials stop early: pruners that decide from plain numbers, whatever trains.

Values are better the smaller they are; a study that maximises negates them. A pruner keeps sorted
tables that grow with each report, so a decision costs O(log n) comparisons.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

from rayml.config.components.build import build, taken
from rayml.errors import ConfigError
from rayml.settings.search import PrunerSettings


@dataclass(frozen=True, slots=True)
class PruningDecision:
    """Whether a trial goes on, and why it does not."""

    action: Literal["keep", "prune"]
    reason: str = ""


KEEP = PruningDecision("keep")


class Pruner(Protocol):
    """Decides from the reports of all trials which of them to stop.

    A class of the user's, named by `search.pruner._target_`, has these three methods. When a
    sweep is resumed a new one is built, and `seen` and `completed` are called for all trials again.
    """

    def seen(self, number: int, step: int, value: float) -> None:
        """Take in the value of a trial after an epoch; a value that is given again counts once.

        Args:
            number: of the trial.
            step: its finished epochs, from 1.
            value: smaller is better.
        """

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        """Take in such a value, and decide whether the trial goes on."""

    def completed(self, number: int) -> None:
        """Take in that a trial trained to its end."""


class NoPruning:
    """Lets every trial train to its end."""

    def seen(self, number: int, step: int, value: float) -> None:
        """Nothing depends on it."""

    def decide(self, number: int, step: int, value: float) -> PruningDecision:  # noqa: ARG002
        """Keep."""
        return KEEP

    def completed(self, number: int) -> None:
        """Nothing depends on it."""


class AsyncHalving:
    """Asynchronous successive halving, the variant that stops trials (Li et al. 2020, ASHA).

    Rungs lie at min_epochs * reduction**k epochs. Of the n trials that have reached a rung so
    far those among its best n // reduction go on, and at least its best one. Equal values rank
    equal, so a trial as good as the best is never stopped.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020.

    Args:
        min_epochs: the first rung.
        reduction: of the trials at a rung one in so many goes on.
        unit: what an epoch is called.
    """

    def __init__(self, min_epochs: int, reduction: int, unit: str = "epoch") -> None:
        self._min_epochs = min_epochs
        self._reduction = reduction
        self._unit = unit
        self._rungs: dict[int, list[float]] = {}
        self._seen: dict[int, dict[int, float]] = {}

    def seen(self, number: int, step: int, value: float) -> None:
        """Take in a value at a rung."""
        if not self._is_rung(step):
            return
        values = self._seen.setdefault(step, {})
        if number not in values:
            insort(self._rungs.setdefault(step, []), value)
            values[number] = value

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        """Compare a trial at a rung with all that were there; between rungs it goes on."""
        self.seen(number, step, value)
        if not self._is_rung(step):
            return KEEP
        rung = self._rungs[step]
        better = bisect_left(rung, self._seen[step][number])
        places = max(1, len(rung) // self._reduction)
        if better < places:
            return KEEP
        return PruningDecision(
            "prune", f"rank {better + 1} of {len(rung)} after {step} {self._unit}s, {places} go on"
        )

    def completed(self, number: int) -> None:
        """Nothing depends on it."""

    def _is_rung(self, step: int) -> bool:
        rung = self._min_epochs
        while rung < step:
            rung *= self._reduction
        return rung == step


class Hyperband:
    """Several brackets of asynchronous halving, which begin to stop trials ever later.

    Bracket s has its first rung at min_epochs * reduction**s. A trial's bracket follows from
    its number alone, the shares of the brackets being those of the first rungs in Hyperband.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization, JMLR 2018.

    Args:
        min_epochs: the first rung of bracket 0.
        reduction: of the trials at a rung one in so many goes on.
        max_epochs: epochs of a trial that is never stopped.
        unit: what an epoch is called.
    """

    def __init__(
        self, min_epochs: int, reduction: int, max_epochs: int, unit: str = "epoch"
    ) -> None:
        last = 0
        while min_epochs * reduction ** (last + 1) <= max_epochs:
            last += 1
        self._brackets = [
            AsyncHalving(min_epochs * reduction**s, reduction, unit) for s in range(last + 1)
        ]
        # Bracket s of Hyperband starts ceil((last + 1) / (last - s + 1) * reduction**(last - s))
        # trials; they are spread evenly over the cycle so that early trials meet every bracket.
        shares = [
            math.ceil((last + 1) / (last - s + 1) * reduction ** (last - s))
            for s in range(last + 1)
        ]
        places = [((i + 0.5) / n, s) for s, n in enumerate(shares) for i in range(n)]
        self._cycle = [s for _, s in sorted(places)]

    def bracket(self, number: int) -> int:
        """The bracket of a trial."""
        return self._cycle[number % len(self._cycle)]

    def seen(self, number: int, step: int, value: float) -> None:
        """Take in a value in the trial's bracket."""
        self._brackets[self.bracket(number)].seen(number, step, value)

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        """Compare a trial with those of its bracket."""
        return self._brackets[self.bracket(number)].decide(number, step, value)

    def completed(self, number: int) -> None:
        """Nothing depends on it."""


class MedianStopping:
    """Stops a trial whose best value is worse than the median of the completed ones' averages.

    At a step the best value that a trial has reached is compared with the median, over the
    completed trials, of the mean of their values up to that step.

    Source: Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017.
    """

    def __init__(self, min_epochs: int, startup_trials: int, unit: str = "epoch") -> None:
        self._min_epochs = min_epochs
        self._unit = unit
        self._startup_trials = startup_trials
        self._curves: dict[int, dict[int, float]] = {}
        self._averages: dict[int, list[float]] = {}
        self._completed = 0

    def seen(self, number: int, step: int, value: float) -> None:
        """Take in a value of the trial's curve."""
        self._curves.setdefault(number, {}).setdefault(step, value)

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        """Compare a trial's best value with the median of the completed trials."""
        self.seen(number, step, value)
        curve = self._curves[number]
        averages = self._averages.get(step)
        if step < self._min_epochs or self._completed < self._startup_trials or not averages:
            return KEEP
        median = _median(averages)
        best = min(curve.values())
        if best <= median:
            return KEEP
        return PruningDecision(
            "prune",
            f"best {best:.6g} after {step} {self._unit}s is worse than the median {median:.6g}",
        )

    def completed(self, number: int) -> None:
        """Let a trial's curve count in the medians."""
        curve = self._curves.pop(number, {})
        if not curve:
            return
        self._completed += 1
        steps = sorted(curve)
        totals = accumulate(curve[step] for step in steps)
        for count, (step, total) in enumerate(zip(steps, totals, strict=True), start=1):
            insort(self._averages.setdefault(step, []), total / count)


class PrunerOfFamilies:
    """Prunes the trials of each family of models among themselves.

    An epoch of one family says nothing of another's: ten trees are far from what they become,
    an epoch of a network is not.

    Args:
        make: makes the pruner of a family.
        family_of: the family of a trial, by its number.
    """

    def __init__(self, make: Callable[[], Pruner], family_of: Callable[[int], str]) -> None:
        self._make = make
        self._family_of = family_of
        # Made at once, so that a class of the user's that cannot be made is known at the start.
        self._pruners = {"": make()}

    def seen(self, number: int, step: int, value: float) -> None:
        """Take in a value in the trial's family."""
        self._of(number).seen(number, step, value)

    def decide(self, number: int, step: int, value: float) -> PruningDecision:
        """Compare a trial with those of its family."""
        return self._of(number).decide(number, step, value)

    def completed(self, number: int) -> None:
        """Take in that a trial of a family trained to its end."""
        self._of(number).completed(number)

    def _of(self, number: int) -> Pruner:
        family = self._family_of(number)
        if family not in self._pruners:
            self._pruners[family] = self._make()
        return self._pruners[family]


def build_pruner(settings: PrunerSettings, max_epochs: int, unit: str = "epoch") -> Pruner:
    """The pruner that the settings name.

    Args:
        settings: its name and numbers.
        max_epochs: epochs of a trial that is never stopped, from which Hyperband's brackets follow.
        unit: what an epoch is called in reasons.

    Raises:
        BuildError: the user's class does not import, or does not take its arguments.
        ConfigError: what it makes has not the methods of `Pruner`.
    """
    if settings.target is not None:
        return _users_pruner(settings, max_epochs)
    if settings.name == "asha":
        return AsyncHalving(settings.min_epochs, settings.reduction, unit)
    if settings.name == "hyperband":
        return Hyperband(settings.min_epochs, settings.reduction, max_epochs, unit)
    if settings.name == "median":
        return MedianStopping(settings.min_epochs, settings.startup_trials, unit)
    return NoPruning()


def _users_pruner(settings: PrunerSettings, max_epochs: int) -> Pruner:
    assert settings.target is not None
    given = {"max_epochs": max_epochs} | settings.known
    pruner = build(taken(settings.target, settings.arguments, given))
    missing = [
        name
        for name in ("seen", "decide", "completed")
        if not callable(getattr(pruner, name, None))
    ]
    if missing:
        raise ConfigError(
            f"{settings.target} is no pruner, as it has no {' and no '.join(missing)}",
            remedy="Give it the methods of rayml.search.pruning.pruning.Pruner",
        )
    return pruner  # type: ignore[no-any-return]


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
