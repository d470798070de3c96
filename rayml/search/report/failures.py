"""Trials that failed, by their reasons."""

from __future__ import annotations

from collections.abc import Sequence

from rayml.search.report.section import Grid, Section
from rayml.search.results.leaderboard import TrialRow

_REASONS = 50
_NUMBERS = 8
_LENGTH = 600


def failures_section(rows: Sequence[TrialRow]) -> Section:
    """One line a reason, the most frequent first."""
    groups: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        if row.state == "FAIL":
            groups.setdefault(row.reason or "no reason was recorded", []).append(row.number)
    if not groups:
        return Section("failures", "Failures", ["No trial failed."])
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0]))
    total = sum(map(len, groups.values()))
    notes = [f"{total:,} {'trial' if total == 1 else 'trials'} failed."]
    if len(ranked) > _REASONS:
        notes.append(f"The {_REASONS} most frequent of {len(ranked):,} reasons are shown.")
    grid = Grid(
        ["trials", "which", "reason"],
        [[f"{len(n):,}", _which(n), _cut(reason)] for reason, n in ranked[:_REASONS]],
    )
    return Section("failures", "Failures", notes, tables=[grid])


def _which(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NUMBERS]))
    return shown if len(numbers) <= _NUMBERS else f"{shown}, …"


def _cut(reason: str) -> str:
    return reason if len(reason) <= _LENGTH else f"{reason[: _LENGTH - 1]}…"
