"""What the study's record tells of a trial, for a process that goes on with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from rayml.search.problem.feasibility import Quantities
from rayml.search.problem.parameter import Params
from rayml.search.problem.trials import AskedTrial, State

# Of the study.
METRIC = "metric"
IDENTITY = "identity"
SUGGESTIONS = "suggestions"
FIRST_EPOCH = "first_epoch"
# Of a trial.
REASON = "reason"
TUNE_TRIAL = "tune_trial"
RESTARTS = "restarts"
EPOCH = "epoch:"
# System attributes, which a dashboard does not show as columns.
COHORT = "cohort"
SESSION = "session"
REQUEST = "request"
SUGGESTED = "suggested"
SPENT = "spent"
LINEAGE = "lineage"

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a trial took, and at which of the sweep's seconds it ended."""

    train: float = 0.0
    eval: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """A trial as an earlier process left it.

    Attributes:
        number: in the study.
        trial_id: in Optuna's storage.
        params: its searched values.
        state: how it ended; None if it has not.
        value: of a COMPLETE trial's first objective.
        reason: why it was stopped or failed.
        curve: value by epoch.
        metrics: all that was measured, by epoch.
        cohort: that trains it.
        session: of the driver that it was given to.
        tune_trial: id of the Ray Tune trial that it was given to.
        request: of the call that asked for it; empty without one.
        suggested: which of the study's suggestions it took; None if a sampler chose.
        restarts: what was noted of each.
        spent: of a trial that ended.
        ended: when it did.
        lineage: of a trial of a population, as it is recorded.
    """

    number: int
    trial_id: int
    params: Params
    state: State | None
    value: float | None
    reason: str
    curve: Mapping[int, float]
    metrics: Mapping[int, Quantities]
    cohort: int
    session: str
    tune_trial: str | None
    request: str
    suggested: int | None
    restarts: list[Mapping[str, int]]
    spent: Spent
    ended: datetime | None
    lineage: list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Trials that train together and have not ended.

    Attributes:
        number: of the cohort, in its sweep.
        trials: by number.
        epochs: how many of each were reported; its checkpoint may hold one less.
    """

    number: int
    trials: tuple[AskedTrial, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a study found when it went on with a record.

    Attributes:
        done: trials that had ended.
        cohorts: trials that had not.
        torn: bytes that were cut off the end of its journal.
    """

    done: int
    cohorts: tuple[Cohort, ...]
    torn: int


def read_record(trial: FrozenTrial) -> Record:
    """Read a trial of the study."""
    user, system = trial.user_attrs, trial.system_attrs
    curve = dict(sorted(trial.intermediate_values.items()))
    complete = trial.state == TrialState.COMPLETE
    return Record(
        number=trial.number,
        trial_id=trial._trial_id,  # noqa: SLF001 - Optuna's storages take it, and name it nowhere else
        params=trial.params,
        state=_STATES.get(trial.state),
        value=trial.values[0] if complete else None,
        reason=user.get(REASON, ""),
        curve=curve,
        metrics={epoch: system.get(f"{EPOCH}{epoch}", {}) for epoch in curve},
        # A trial of a journal without cohorts is one of its own.
        cohort=system.get(COHORT, trial.number),
        session=system.get(SESSION, ""),
        tune_trial=user.get(TUNE_TRIAL),
        request=system.get(REQUEST, ""),
        suggested=system.get(SUGGESTED),
        restarts=user.get(RESTARTS, []),
        spent=Spent(*system.get(SPENT, ())),
        ended=trial.datetime_complete,
        lineage=system.get(LINEAGE, []),
    )


def in_order(records: Iterable[Record]) -> list[Record]:
    """Those that ended in the order in which they did, and after them the others."""
    last = datetime.max
    return sorted(records, key=lambda each: (each.ended or last, each.number))


def by_cohort(trials: Iterable[tuple[int, AskedTrial, int]]) -> tuple[Cohort, ...]:
    """Group trials into their cohorts, in order.

    Args:
        trials: cohort, trial and reported epochs of each.
    """
    groups: dict[int, list[tuple[AskedTrial, int]]] = {}
    for cohort, asked, epochs in sorted(trials, key=lambda each: (each[0], each[1].number)):
        groups.setdefault(cohort, []).append((asked, epochs))
    return tuple(
        Cohort(number, tuple(a for a, _ in group), tuple(e for _, e in group))
        for number, group in groups.items()
    )


def spent_value(spent: Spent) -> list[Any]:
    """The inverse of `Spent(*value)`."""
    return [spent.train, spent.eval, spent.elapsed]
