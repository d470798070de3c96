"""The record of a trial, and how it is read from a study.

`StudyJournal` writes what `read_trial` reads; the names of a trial's attributes are these here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from rayml.search.problem.feasibility import Quantities
from rayml.search.problem.trials import AskedTrial, State
from rayml.search.space.parameter import Params
from rayml.tasks.objectives import TRAIN_SECONDS

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
DESCENTS = "lineage"

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a trial trained and was evaluated, and the sweep's second at which it ended."""

    train: float = 0.0
    eval: float = 0.0
    elapsed: float = 0.0


@dataclass(slots=True, kw_only=True)
class TrialRecord:
    """A trial: what its study has in memory while it runs, and finds in the journal later.

    Attributes:
        number: in the study.
        trial_id: in Optuna's storage.
        params: searched values.
        cohort: number of the cohort that trains it.
        session: of the driver that the trial was given to.
        tune_trial: id of the Ray Tune trial that it was given to.
        request: name of the call that asked for it; empty without one.
        suggested: place among the study's suggestions; None where a sampler chose.
        curve: value of the first objective by epoch.
        metrics: all that was measured, by epoch; None where undefined.
        begun: whether a worker has trained it.
        restarts: epochs reported, and epochs of the checkpoint, at each restart.
        spent: seconds so far.
        descents: `Descent.to_json` of each, for a trial of a population.
        state: how it ended; None while it runs.
        value: of the first objective of a COMPLETE trial.
        reason: why it was pruned or failed.
        started: when it was asked.
        ended: when it ended.
    """

    number: int
    trial_id: int
    params: Params
    cohort: int
    session: str = ""
    tune_trial: str | None = None
    request: str = ""
    suggested: int | None = None
    curve: dict[int, float] = field(default_factory=dict)
    metrics: dict[int, Quantities] = field(default_factory=dict)
    begun: bool = False
    restarts: list[Mapping[str, int]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    descents: list[Mapping[str, Any]] = field(default_factory=list)
    state: State | None = None
    value: float | None = None
    reason: str = ""
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def asked(self) -> AskedTrial:
        """Number and searched values."""
        return AskedTrial(self.number, self.params)


def read_trial(trial: FrozenTrial) -> TrialRecord:
    """The record of a study's trial."""
    user, system = trial.user_attrs, trial.system_attrs
    curve = dict(sorted(trial.intermediate_values.items()))
    metrics = {epoch: system.get(f"{EPOCH}{epoch}", {}) for epoch in curve}
    complete = trial.state == TrialState.COMPLETE
    return TrialRecord(
        number=trial.number,
        trial_id=trial._trial_id,  # noqa: SLF001 - Optuna's storages take it, and name it nowhere else
        params=trial.params,
        # A trial of a journal without cohorts is one of its own.
        cohort=system.get(COHORT, trial.number),
        session=system.get(SESSION, ""),
        tune_trial=user.get(TUNE_TRIAL),
        request=system.get(REQUEST, ""),
        suggested=system.get(SUGGESTED),
        curve=curve,
        metrics=metrics,
        begun=bool(curve),
        restarts=list(user.get(RESTARTS, ())),
        spent=Spent(*system.get(SPENT, ())) if trial.state.is_finished() else _so_far(metrics),
        descents=list(system.get(DESCENTS, ())),
        state=_STATES.get(trial.state),
        value=trial.values[0] if complete else None,
        reason=user.get(REASON, ""),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


def in_order(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those that ended in the order in which they did, and after them the others."""
    last = datetime.max
    return sorted(records, key=lambda each: (each.ended or last, each.number))


def _so_far(metrics: Mapping[int, Quantities]) -> Spent:
    """Of a trial that runs: its total is written when it ends, its training with each epoch."""
    last = metrics[max(metrics)] if metrics else {}
    return Spent(train=last.get(TRAIN_SECONDS) or 0.0)
