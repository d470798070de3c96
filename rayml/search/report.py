"""The report of a sweep, from its journal alone: leaderboard, trials and curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from rayml.search.journal import read_study
from rayml.search.parameter import Params
from rayml.search.progress import params_text
from rayml.search.replay import EPOCH, METRIC, REASON, TUNE_TRIAL
from rayml.types import Direction

JOURNAL = "journal.log"
FOLDER = "report"
_ORDER = ("COMPLETE", "PRUNED", "RUNNING", "FAIL")


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial of a sweep that runs or is over.

    Attributes:
        number: in the study.
        state: COMPLETE, PRUNED, RUNNING or FAIL.
        value: of its best epoch; None if it has none.
        epoch: its best epoch, from 1.
        epochs: how many it finished.
        params: its searched values.
        reason: why it was stopped or failed.
        tune_trial: id of the Ray Tune trial that trained it.
        started: when it was asked.
        ended: when it finished.
        curve: by epoch its value and metrics.
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


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Trials from the best to the worst: completed, pruned, running, failed ones.

    Attributes:
        metric: name of what is optimised.
        direction: of the metric.
        rows: the trials.
    """

    metric: str
    direction: Direction
    rows: Sequence[TrialRow]


def read_leaderboard(folder: Path) -> Leaderboard:
    """Read a sweep's journal, while it runs or afterwards.

    Raises:
        SearchError: the folder is not that of a sweep.
    """
    study = read_study(folder / JOURNAL)
    direction: Direction = "minimize" if study.direction.name == "MINIMIZE" else "maximize"
    sign = 1.0 if direction == "minimize" else -1.0
    rows = [_row(trial, sign) for trial in study.get_trials(deepcopy=False)]
    rows.sort(key=lambda row: _rank(row, sign))
    return Leaderboard(study.user_attrs[METRIC], direction, rows)


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


def write_report(folder: Path) -> Leaderboard:
    """Write `report/trials.parquet` and `report/curves.parquet` into a sweep's folder.

    Raises:
        SearchError: the folder is not that of a sweep.
    """
    board = read_leaderboard(folder)
    (folder / FOLDER).mkdir(exist_ok=True)
    pq.write_table(_trials_table(board), folder / FOLDER / "trials.parquet")
    pq.write_table(_curves_table(board), folder / FOLDER / "curves.parquet")
    return board


def _row(trial: FrozenTrial, sign: float) -> TrialRow:
    values = trial.intermediate_values
    failed = trial.state == TrialState.FAIL
    best = None if failed else min(values, key=lambda e: (sign * values[e], e), default=None)
    value = trial.value if trial.state == TrialState.COMPLETE else values.get(best or 0)
    attributes = trial.system_attrs
    curve = {e: (v, attributes.get(f"{EPOCH}{e}", {})) for e, v in sorted(values.items())}
    return TrialRow(
        number=trial.number,
        state=trial.state.name,
        value=value,
        epoch=best,
        epochs=len(values),
        params=trial.params,
        reason=trial.user_attrs.get(REASON, ""),
        tune_trial=trial.user_attrs.get(TUNE_TRIAL, ""),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        curve=curve,
    )


def _rank(row: TrialRow, sign: float) -> tuple[int, bool, float, int]:
    value = 0.0 if row.value is None else sign * row.value
    return (_ORDER.index(row.state), row.value is None, value, row.number)


def _trials_table(board: Leaderboard) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in board.rows]
        for name in ("number", "state", "value", "epoch", "epochs", "reason", "tune_trial")
    }
    columns["rank"] = list(range(1, len(board.rows) + 1))
    for name in ("started", "ended"):
        columns[name] = [getattr(row, name) for row in board.rows]
    for key in sorted({key for row in board.rows for key in row.params}):
        columns[f"params.{key}"] = _uniform([row.params.get(key) for row in board.rows])
    return pa.table(columns)


def _curves_table(board: Leaderboard) -> pa.Table:
    rows = [
        {"number": row.number, "epoch": epoch, "value": value, **metrics}
        for row in sorted(board.rows, key=lambda row: row.number)
        for epoch, (value, metrics) in row.curve.items()
    ]
    metrics = sorted({key for row in rows for key in row} - {"number", "epoch", "value"})
    fields = [("number", pa.int64()), ("epoch", pa.int64()), ("value", pa.float64())]
    schema = pa.schema(fields + [(name, pa.float64()) for name in metrics])
    return pa.Table.from_pylist(rows, schema=schema)


def _uniform(values: Iterable[Any]) -> list[Any]:
    """Values of one type; choices of several types become text."""
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [None if value is None else str(value) for value in values]
