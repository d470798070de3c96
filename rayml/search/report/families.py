"""The families of models side by side: does the larger one earn its place?"""

from __future__ import annotations

from collections.abc import Sequence

from rayml.search.charts.style import duration, number
from rayml.search.report.section import Grid, Section
from rayml.search.results.leaderboard import TrialRow
from rayml.search.results.record import SweepRecord
from rayml.train.families import family_of


def families_section(record: SweepRecord) -> Section | None:
    """Trials, best value and time of each family; None where a sweep has one."""
    names = list(dict.fromkeys(family_of(row.params) for row in record.rows))
    if len(names) < 2:
        return None
    head = ["family", "trials", "finished", f"best {record.board.metric}", "by trial", "wall-clock"]
    rows = [_row(name, record) for name in names]
    return Section("families", "Families", tables=[Grid(head, rows)])


def _row(name: str, record: SweepRecord) -> list[str]:
    """Of a family; the rows of the record stand best first."""
    rows = [row for row in record.rows if family_of(row.params) == name]
    best = next((row for row in rows if row.value is not None), None)
    return [
        name,
        f"{len(rows):,}",
        f"{sum(row.state == 'COMPLETE' for row in rows):,}",
        "" if best is None else number(best.value),
        "" if best is None else str(best.number),
        duration(_seconds(rows)),
    ]


def _seconds(rows: Sequence[TrialRow]) -> float:
    spans = ((row.started, row.ended) for row in rows)
    return sum((end - start).total_seconds() for start, end in spans if start and end)
