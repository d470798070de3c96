"""The trials of a study that have not ended, and who was given them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rayml.search.journal.replay import Cohort, Record, Spent, by_cohort
from rayml.search.problem.feasibility import Quantities
from rayml.search.problem.parameter import Params
from rayml.search.problem.trials import AskedTrial
from rayml.tasks.objectives import TRAIN_SECONDS


@dataclass(slots=True)
class Running:
    """A trial that has not ended.

    Attributes:
        trial_id: in Optuna's storage.
        params: its searched values.
        cohort: that trains it.
        session: of the driver that it was given to.
        tune_trial: id of the Ray Tune trial that it was given to.
        request: of the call that asked for it; empty without one.
        curve: value by epoch.
        metrics: all that was measured, by epoch.
        begun: whether a worker has begun to train it.
        restarts: what was noted of each.
        spent: seconds so far.
        lineage: of a trial of a population, as it is recorded.
    """

    trial_id: int
    params: Params
    cohort: int
    session: str
    tune_trial: str | None = None
    request: str = ""
    curve: dict[int, float] = field(default_factory=dict)
    metrics: dict[int, Quantities] = field(default_factory=dict)
    begun: bool = False
    restarts: list[Mapping[str, int]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    lineage: list[Mapping[str, Any]] = field(default_factory=list)


Roster = Mapping[int, Running]


def recalled(record: Record) -> Running:
    """A trial as an earlier process left it."""
    return Running(
        record.trial_id,
        record.params,
        record.cohort,
        record.session,
        record.tune_trial,
        record.request,
        dict(record.curve),
        dict(record.metrics),
        bool(record.curve),
        list(record.restarts),
        _spent(record),
        list(record.lineage),
    )


def _spent(record: Record) -> Spent:
    if record.state is not None or not record.metrics:
        return record.spent
    # What it took in all is written when it ends; until then each epoch tells its training.
    last = record.metrics[max(record.metrics)]
    return Spent(train=last.get(TRAIN_SECONDS) or 0.0)


def requested(roster: Roster, request: str) -> list[AskedTrial]:
    """The trials that a call was given before; none for a call without a name."""
    return [
        AskedTrial(number, each.params)
        for number, each in roster.items()
        if request and each.request == request
    ]


def cohort_of(roster: Roster, tune_trial: str, session: str) -> int | None:
    """The cohort that a Ray Tune trial of a session was given; None if it was given none."""
    return next(
        (
            each.cohort
            for each in roster.values()
            if (each.tune_trial, each.session) == (tune_trial, session)
        ),
        None,
    )


def lanes(roster: Roster, cohort: int) -> list[AskedTrial]:
    """The trials of a cohort, by number."""
    return [
        AskedTrial(number, each.params)
        for number, each in sorted(roster.items())
        if each.cohort == cohort
    ]


def left_behind(roster: Roster, session: str) -> tuple[Cohort, ...]:
    """The cohorts that were given to the driver of another session."""
    return by_cohort(
        (each.cohort, AskedTrial(number, each.params), len(each.curve))
        for number, each in roster.items()
        if each.session != session
    )
