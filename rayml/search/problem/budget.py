"""Budgets: what a search may spend, and when it has."""

from __future__ import annotations

from dataclasses import dataclass

from rayml.errors import ConfigError
from rayml.settings.search import SearchSettings

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a search may spend; None sets no limit.

    Attributes:
        trials: proposed ones.
        seconds: of wall-clock.
        epochs: summed over all trials.
        cost: of the workers' time.
    """

    trials: int | None = None
    seconds: float | None = None
    epochs: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a search has spent.

    Attributes:
        done: finished trials.
        seconds: of wall-clock, since the search started.
        epochs: summed over all trials.
        cost: of the workers' time.
        first_epoch: of the seconds those until the first epoch was reported; None before.
    """

    done: int
    seconds: float
    epochs: int
    cost: float = 0.0
    first_epoch: float | None = None


def spent(budget: Budget, usage: Usage) -> str | None:
    """Why a search has to end at once, its running trials with it; None if it need not.

    The budget of trials is none of these reasons: those that it has given train on.
    """
    if budget.seconds is not None and usage.seconds >= budget.seconds:
        return f"the budget of {budget.seconds:g} seconds is spent"
    if budget.epochs is not None and usage.epochs >= budget.epochs:
        return f"the budget of {budget.epochs} epochs is spent"
    if budget.cost is not None and usage.cost >= budget.cost:
        return f"the budget of cost {budget.cost:g} is spent"
    return None


def seconds_left(budget: Budget, usage: Usage) -> float | None:
    """Seconds until the first of the budgets is spent; None while nothing can be said.

    Trials, epochs and cost are taken to go on as fast as they did since the first epoch.
    """
    left = [] if budget.seconds is None else [budget.seconds - usage.seconds]
    if usage.first_epoch is not None:
        since = usage.seconds - usage.first_epoch
        paces = [(budget.trials, usage.done), (budget.epochs, usage.epochs)]
        for limit, used in (*paces, (budget.cost, usage.cost)):
            if limit is not None and used > 0:
                left.append(since / used * (limit - used))
    return max(min(left), 0.0) if left else None


def budget_of(search: SearchSettings) -> Budget:
    """The budget that a search is given."""
    return Budget(
        trials=search.trials, seconds=search.seconds, epochs=search.epochs, cost=search.cost
    )


def check_cost(search: SearchSettings) -> None:
    """Check that a budget of cost can be spent.

    Raises:
        ConfigError: nothing that a trial takes has a price.
    """
    if search.cost is not None and cost_per_second(search) <= 0:
        raise ConfigError(
            f"search.cost is {search.cost:g}, and nothing that a trial takes has a price",
            remedy="Set search.prices.cpu_hour or search.prices.gpu_hour",
        )


def cost_per_second(search: SearchSettings) -> float:
    """What a busy second of one worker costs."""
    resources, prices = search.resources, search.prices
    hourly = resources.cpu * prices.cpu_hour + resources.gpu * prices.gpu_hour
    return hourly / _HOUR
