"""The leaderboard: the trials of a sweep, from its journal alone, from the best to the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from rich.table import Table

from rayml.search.journal.ancestry import Ancestry, Descent, Stretch, read_descents, schedule
from rayml.search.journal.journal import read_study
from rayml.search.journal.optuna_study import EVAL_STEPS, STRUCTURE, read_goals
from rayml.search.journal.trial_record import read_trial
from rayml.search.problem.goals import Goals, outcome
from rayml.search.problem.ranking import Merit, TrialState, front, rank
from rayml.search.problem.structure import count_structures
from rayml.search.problem.sweep_plan import JOURNAL
from rayml.search.results.wording import counted, params_text, unit_of, value_text
from rayml.search.space.parameter import Params
from rayml.types import Direction


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial of a sweep that runs or is over.

    Attributes:
        number: in the study.
        state: COMPLETE, PRUNED, RUNNING or FAIL.
        value: of its best epoch by the first objective; None if it has none.
        epoch: its best epoch, from 1.
        epochs: how many it finished.
        params: its searched values.
        reason: why it was stopped or failed.
        tune_trial: id of the Ray Tune trial that trained it.
        started: when it was asked.
        ended: when it finished.
        curve: by epoch its value and metrics.
        values: of all objectives by name after its best epoch; None where undefined.
        violation: of the constraints then; infinite where undefined.
        on_front: whether it is on the Pareto front of the feasible trials that completed.
        descents: of a trial of a population, in order.
    """

    number: int
    state: TrialState
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
    descents: tuple[Descent, ...] = ()

    @property
    def ancestry(self) -> Ancestry:
        """What it trained with, and since when."""
        return Ancestry(self.params, self.descents)

    @property
    def feasible(self) -> bool:
        """Whether it keeps all constraints."""
        return self.violation <= 0

    @property
    def merit(self) -> Merit:
        """What its rank follows from."""
        return Merit(self.number, self.state, tuple(self.values.values()), self.violation)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Trials from the best to the worst, in the order of `rayml.search.problem.ranking`.

    Attributes:
        goals: what is sought.
        rows: the trials.
        structures: that they have; 0 where nothing is known of structures.
        unit: what an epoch of them is called, see `unit_of`.
    """

    goals: Goals
    rows: Sequence[TrialRow]
    structures: int = 0
    unit: str = "epoch"

    @property
    def metric(self) -> str:
        """Name of what is optimised first."""
        return self.goals.first.metric

    @property
    def direction(self) -> Direction:
        """Of that metric."""
        return self.goals.first.direction

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all objectives, the first one first."""
        return tuple(each.metric for each in self.goals.objectives)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return self.goals.directions


def read_leaderboard(folder: Path) -> Leaderboard:
    """Read a sweep's journal, while it runs or afterwards.

    Raises:
        SearchError: the folder is not that of a sweep.
    """
    return rank_trials(read_study(folder / JOURNAL))


def rank_trials(study: optuna.Study) -> Leaderboard:
    """The leaderboard of a study that has been read."""
    goals = read_goals(study)
    rows = [_row(trial, goals) for trial in study.get_trials(deepcopy=False)]
    chosen = front([row.merit for row in rows], goals.directions)
    rows = [replace(row, on_front=row.number in chosen) for row in rows]
    rows.sort(key=lambda row: rank(row.merit, goals.directions, on_front=row.on_front))
    # Optuna's own property of the study warns that it will go.
    known = study._storage.get_study_system_attrs(study._study_id)  # noqa: SLF001
    structures = count_structures((row.params for row in rows), known.get(STRUCTURE, {}))
    return Leaderboard(goals, rows, structures, unit_of(study.user_attrs.get(EVAL_STEPS)))


def schedule_of(board: Leaderboard, row: TrialRow) -> tuple[Stretch, ...]:
    """How the weights of a trial's best epoch came about; one stretch without a population."""
    assert row.epoch is not None
    return schedule(row.number, row.epoch, {each.number: each.ancestry for each in board.rows})


def leaderboard_table(board: Leaderboard, limit: int = 10) -> Table:
    """The first trials as a table for the terminal."""
    title = f"best {min(limit, len(board.rows))} of {len(board.rows)} trials"
    if board.structures:
        title += f" of {counted(board.structures, 'structure')}"
    table = Table(title=title)
    several = len(board.metrics) > 1
    for name in ("rank", "trial", *board.metrics, f"{board.unit}s"):
        table.add_column(name, justify="right")
    table.add_column("state")
    if several:
        table.add_column("front")
    if board.goals.constraints:
        table.add_column("violation", justify="right")
    table.add_column("searched values")
    for place, row in enumerate(board.rows[:limit], start=1):
        values = [value_text(row.values.get(name)) for name in board.metrics]
        cells = [str(place), str(row.number), *values, str(row.epochs), row.state]
        if several:
            cells.append("yes" if row.on_front else "")
        if board.goals.constraints:
            cells.append("" if row.epoch is None else value_text(row.violation))
        cells.append(
            row.reason if row.state == "FAIL" else params_text(row.ancestry.params_in(row.epoch))
        )
        table.add_row(*cells)
    return table


def _row(trial: FrozenTrial, goals: Goals) -> TrialRow:
    record = read_trial(trial)
    state: TrialState = trial.state.name  # type: ignore[assignment]
    counted = {} if state == "FAIL" else record.curve
    result = outcome(goals, counted, record.metrics, record.value)
    return TrialRow(
        number=record.number,
        state=state,
        value=result.value,
        epoch=result.epoch,
        epochs=len(record.curve),
        params=record.params,
        reason=record.reason,
        tune_trial=record.tune_trial or "",
        started=record.started,
        ended=record.ended,
        curve={epoch: (value, record.metrics[epoch]) for epoch, value in record.curve.items()},
        values=result.values,
        violation=result.violation,
        descents=read_descents(record.descents),
    )
