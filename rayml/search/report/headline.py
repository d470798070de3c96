"""The top of the page: what was searched, what came out, what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import CategoricalDistribution

from rayml.search.charts.style import choice_labels, duration, is_log, number, value_text
from rayml.search.report.section import Grid, Section
from rayml.search.results.leaderboard import TrialRow
from rayml.search.results.record import Searched, SweepRecord
from rayml.search.results.wording import counted
from rayml.train.folds.parts import fold_values

_STATES = (("COMPLETE", "finished"), ("PRUNED", "pruned"), ("RUNNING", "in progress"))
_TOP = 12


@dataclass(frozen=True)
class Card:
    """One figure of the headline: a label, a value, and a remark."""

    label: str
    value: str
    remark: str = ""


def best_trial(record: SweepRecord) -> TrialRow | None:
    """The winner of the confirmation, or else the first of the leaderboard."""
    confirmed = record.confirmation
    for row in record.rows:
        if row.value is not None and (confirmed is None or row.number == confirmed.winner):
            return row
    return None


def cards(record: SweepRecord) -> list[Card]:
    """Best value, trials by state, wall-clock, size of the space."""
    counts: Counter[str] = Counter(row.state for row in record.rows)
    states = [f"{counts[state]:,} {word}" for state, word in _STATES if counts[state]]
    states += [f"{counts['FAIL']:,} failed"] if counts["FAIL"] else []
    best = best_trial(record)
    metric = record.board.metric
    better = "lower is better" if record.board.direction == "minimize" else "higher is better"
    return [
        Card(
            f"best {metric}",
            "none yet" if best is None else number(best.value),
            better + ("" if best is None else f", trial {best.number}"),
        ),
        Card("trials", f"{len(record.rows):,}", ", ".join(states) or "none was asked for yet"),
        _clock(record),
        Card(
            "searched",
            f"{len(record.searched)}",
            ("parameter" if len(record.searched) == 1 else "parameters") + _looked(record),
        ),
    ]


def _looked(record: SweepRecord) -> str:
    structures = record.board.structures
    return f", {counted(structures, 'structure')} looked at" if structures else ""


def state_of(record: SweepRecord) -> str:
    """Whether the sweep is over, in words."""
    if record.timings is not None:
        return "over"
    return "not over: it runs, or was interrupted"


def best_section(record: SweepRecord) -> Section:
    """The best trials, the first of them with all its parameters."""
    best = best_trial(record)
    if best is None:
        return Section("best", "Best trials", ["No trial has a value yet."])
    names = [each.key for each in record.searched if any(each.key in r.params for r in record.rows)]
    rows = [row for row in record.rows if row.value is not None][:_TOP]
    folded = any(_fold_range(row, record) for row in rows)
    spread = ["over its folds"] if folded else []
    grid = Grid(
        ["trial", *record.board.metrics, *spread, f"{record.board.unit}s", "state", *leaves(names)],
        [_cells(row, record, names, folded=folded) for row in rows],
        trials=True,
    )
    notes = [
        f"The best {len(rows)} of {len(record.rows):,} trials: those that finished before those"
        f" that were pruned, each by the value of its best {record.board.unit}."
    ]
    if record.constrained:
        notes.append("A trial that breaks a constraint comes after all that break none.")
    return Section("best", "Best trials", notes, tables=[grid])


def leaves(keys: Sequence[str]) -> list[str]:
    """The last part of each dotted key where it is unique, or else all of it."""
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return [key.rpartition(".")[2] if counts[key.rpartition(".")[2]] == 1 else key for key in keys]


def space_section(record: SweepRecord) -> Section:
    """What was searched."""
    rows = [
        [each.key, *_range(each), _condition(each.when), _best_value(each.key, record)]
        for each in record.searched
    ]
    head = ["parameter", "values", "scale", "searched where", "best trial"]
    search = record.config.get("search", {}) if isinstance(record.config, Mapping) else {}
    notes = [_policies(search)] if isinstance(search, Mapping) else []
    return Section("space", "What was searched", notes, tables=[Grid(head, rows)])


def _policies(search: Mapping[str, Any]) -> str:
    policies = [
        f"{word} {search[part]['name']}"
        for part, word in (("sampler", "proposed by"), ("pruner", "pruned by"))
        if isinstance(search.get(part), Mapping) and "name" in search[part]
    ]
    return f"Trials were {', '.join(policies)}." if policies else ""


def _fold_range(row: TrialRow, record: SweepRecord) -> str:
    """Between which values of its folds a trial's value is the mean; empty without folds."""
    if row.epoch is None or row.epoch not in row.curve:
        return ""
    found = fold_values(record.board.metric, row.curve[row.epoch][1])
    defined = [value for value in found if value is not None]
    return f"{number(min(defined))} to {number(max(defined))}" if defined else ""


def _cells(row: TrialRow, record: SweepRecord, names: list[str], *, folded: bool) -> list[str]:
    values = [row.values.get(metric) for metric in record.board.metrics]
    state = "breaks a constraint" if row.violation > 0 else dict(_STATES).get(row.state, "")
    state += ", on the front" if row.on_front else ""
    params = [value_text(row.params[name]) if name in row.params else "" for name in names]
    spread = [_fold_range(row, record)] if folded else []
    return [str(row.number), *map(number, values), *spread, str(row.epochs), state, *params]


def _clock(record: SweepRecord) -> Card:
    begun = [row.started for row in record.rows if row.started is not None]
    if record.timings is not None and "total" in record.timings:
        return Card("wall-clock", duration(record.timings["total"]), _begun(begun))
    ended = [row.ended for row in record.rows if row.ended is not None]
    if not begun or not ended:
        return Card("wall-clock", "none yet", "no trial has ended")
    return Card("wall-clock", duration((max(ended) - min(begun)).total_seconds()), "so far")


def _begun(begun: list[datetime]) -> str:
    return f"begun {min(begun):%Y-%m-%d %H:%M}" if begun else ""


def _range(searched: Searched) -> tuple[str, str]:
    distribution = searched.distribution
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(choice_labels(distribution)), "choices"
    low, high = value_text(distribution.low), value_text(distribution.high)
    step = f", step {value_text(distribution.step)}" if distribution.step not in {None, 1} else ""
    return f"{low} to {high}{step}", "logarithmic" if is_log(distribution) else "linear"


def _condition(when: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{key} is {' or '.join(value_text(value) for value in values)}"
        for key, values in when.items()
    )


def _best_value(key: str, record: SweepRecord) -> str:
    best = best_trial(record)
    return value_text(best.params[key]) if best is not None and key in best.params else ""
