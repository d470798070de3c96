"""The leaderboard: the trials of a sweep, from its journal alone, from the best to the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from rayml.search.journal import read_study
from rayml.search.parameter import Params
from rayml.search.progress import params_text
from rayml.search.study import EPOCH, METRIC, REASON, TUNE_TRIAL
from rayml.types import Direction

JOURNAL = "journal.log"
_ORDER = ("COMPLETE", "PRUNED", "RUNNING", "FAIL")


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial of a sweep that runs or is over.

    Attributes:
        number: in the study.
        state: COMPLETE, PRUNED, RUNNING or FAIL.
        value: of its best epoch, by the first objective; None if it has none.
        epoch: its best epoch, from 1.
        epochs: how many it finished.
        params: its searched values.
        reason: why it was stopped or failed.
        tune_trial: id of the Ray Tune trial that trained it.
        started: when it was asked.
        ended: when it finished.
        curve: by epoch its value and metrics.
        values: of the objectives by name; those after the first are known once it is COMPLETE.
        violation: by how much it breaks the constraints, added up; 0 for a feasible one.
        on_front: whether no other trial is better in every one of several objectives.
    """

    number: int
    state: str
    value: float | None
    epoch: int | None
    epochs: int
    params: Params
    reason: str
    tune_trial: str
    started: datetime | None
    ended: datetime | None
    curve: Mapping[int, tuple[float, Mapping[str, float | None]]]
    values: Mapping[str, float | None] = field(default_factory=dict)
    violation: float = 0.0
    on_front: bool = False


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Trials from the best to the worst: completed, pruned, running, failed ones.

    Among equals of state a feasible trial comes before one that breaks a constraint.

    Attributes:
        metrics: names of what is optimised.
        directions: of the metrics.
        rows: the trials, ranked by the first metric.
    """

    metrics: tuple[str, ...]
    directions: tuple[Direction, ...]
    rows: Sequence[TrialRow]

    @property
    def metric(self) -> str:
        """The first of what is optimised."""
        return self.metrics[0]

    @property
    def direction(self) -> Direction:
        """Of the first metric."""
        return self.directions[0]


def read_leaderboard(folder: Path) -> Leaderboard:
    """Read a sweep's journal, while it runs or afterwards.

    Raises:
        SearchError: the folder is not that of a sweep.
    """
    return rank_trials(read_study(folder / JOURNAL))


def rank_trials(study: optuna.Study) -> Leaderboard:
    """The leaderboard of a study that has been read."""
    directions: list[Direction] = [
        "minimize" if each.name == "MINIMIZE" else "maximize" for each in study.directions
    ]
    sign = 1.0 if directions[0] == "minimize" else -1.0
    metrics = _metrics(study)
    several = len(directions) > 1
    front = {trial.number for trial in study.best_trials} if several else set()
    trials = study.get_trials(deepcopy=False)
    rows = [_row(each, sign, metrics, on_front=each.number in front) for each in trials]
    rows.sort(key=lambda row: _rank(row, sign))
    return Leaderboard(metrics, tuple(directions), rows)


def leaderboard_table(board: Leaderboard, limit: int = 10) -> Table:
    """The first trials as a table for the terminal."""
    table = Table(title=f"best {min(limit, len(board.rows))} of {len(board.rows)} trials")
    for name in ("rank", "trial", board.metric, "epochs"):
        table.add_column(name, justify="right")
    table.add_column("state")
    table.add_column("parameters")
    for rank, row in enumerate(board.rows[:limit], start=1):
        value = "" if row.value is None else f"{row.value:.5g}"
        last = row.reason if row.state == "FAIL" else params_text(row.params)
        table.add_row(str(rank), str(row.number), value, str(row.epochs), row.state, last)
    return table


def _metrics(study: optuna.Study) -> tuple[str, ...]:
    names = study.metric_names or [str(study.user_attrs[METRIC])]
    others = range(len(names) + 1, len(study.directions) + 1)
    return (*names, *(f"objective {number}" for number in others))


def _row(trial: FrozenTrial, sign: float, names: Sequence[str], *, on_front: bool) -> TrialRow:
    values = trial.intermediate_values
    failed = trial.state == TrialState.FAIL
    best = None if failed else min(values, key=lambda e: (sign * values[e], e), default=None)
    complete = trial.state == TrialState.COMPLETE
    told = trial.values if complete else [values.get(best or 0)]
    attributes = trial.system_attrs
    curve = {e: (v, attributes.get(f"{EPOCH}{e}", {})) for e, v in sorted(values.items())}
    return TrialRow(
        number=trial.number,
        state=trial.state.name,
        value=told[0],
        epoch=best,
        epochs=len(values),
        params=trial.params,
        reason=trial.user_attrs.get(REASON, ""),
        tune_trial=trial.user_attrs.get(TUNE_TRIAL, ""),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        curve=curve,
        values=dict(zip(names, told, strict=False)),
        violation=sum(max(each, 0.0) for each in trial.constraints.values()),
        on_front=on_front,
    )


def _rank(row: TrialRow, sign: float) -> tuple[int, bool, float, float, int]:
    value = 0.0 if row.value is None else sign * row.value
    return (_ORDER.index(row.state), row.value is None, row.violation, value, row.number)
