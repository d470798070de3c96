"""The sections of the page, each from what a sweep left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import yaml

from rayml.config.secrets import without_secrets
from rayml.search.charts.curves import curves_figure
from rayml.search.charts.history import history_figures, improvements
from rayml.search.charts.importance import Importance, importance, importance_figure
from rayml.search.charts.parallel import LINES, parallel_figure
from rayml.search.charts.parallel import MOST as MOST_AXES
from rayml.search.charts.pareto import pareto_figures
from rayml.search.charts.selection import CURVES, EPOCHS, POINTS, Selection, select
from rayml.search.charts.slices import MOST as MOST_SLICES
from rayml.search.charts.slices import slice_figures
from rayml.search.charts.style import Figure, number
from rayml.search.charts.timeline import progress_figure, timing_rows, timings_figure
from rayml.search.report.confirmation import confirmation_figure, confirmation_rows
from rayml.search.report.failures import failures_section
from rayml.search.report.families import families_section
from rayml.search.report.headline import best_section, best_trial, space_section
from rayml.search.report.section import Grid, Section
from rayml.search.results.confirmation import Confirmation
from rayml.search.results.record import Searched, SweepRecord
from rayml.search.results.wording import counted

_FOLDED = "A few values lie far from the others and outside the axis; a double click shows them."


def sections(record: SweepRecord) -> Iterator[Section]:
    """What the page shows below its headline, in its order."""
    steps = [number for number, _ in improvements(record.board)]
    front = [row.number for row in record.rows if row.on_front]
    drawn = select(record.rows, POINTS, keep=[*front, *steps])
    importances = [importance(record.study, index) for index in range(len(record.board.metrics))]
    searched = _by_importance(record.searched, importances[0].shares)
    yield best_section(record)
    yield space_section(record)
    yield from _auto(record)
    if record.confirmation is not None:
        yield _confirmation(record.confirmation)
    if (families := families_section(record)) is not None:
        yield families
    yield _history(record, drawn)
    yield from _pareto(record, drawn)
    yield _curves(record)
    yield _importance(record, importances)
    yield from _parallel(record, searched)
    yield from _slices(record, drawn, searched)
    if record.advice:
        yield Section("data", "The data", record.advice)
    yield _timings(record)
    yield failures_section(record.rows)
    yield from _config(record)


def _auto(record: SweepRecord) -> Iterator[Section]:
    chosen = record.config.get("auto") if isinstance(record.config, Mapping) else None
    if chosen:
        reasons = [f"{each[:1].upper()}{each[1:]}." for each in chosen["reasons"]]
        words = f"The same by hand: {' '.join(chosen['overrides'])}"
        yield Section("auto", "What space=auto chose", [*reasons, words])


def _confirmation(confirmation: Confirmation) -> Section:
    seeds = len(confirmation.seeds)
    folds = f" of {confirmation.folds} folds each" if confirmation.folds > 1 else ""
    again = (
        f"The best trials were trained again with {counted(seeds, 'seed')}{folds}; bars are 95 %"
        " bootstrap intervals of the mean. "
    )
    trained = any(each.steps for each in confirmation.candidates)
    notes = [f"{again if trained else 'No trial was trained again: '}{confirmation.reason}."]
    if confirmation.selection:
        found = confirmation.selection
        notes.append(
            f"An ensemble of {len(found.members)} of {found.pool} models is served: on validation"
            f" rows that did not select it {found.metric} is {number(found.score)}, of the winner's"
            f" model alone {number(found.alone)}; a row takes {found.latency_ms:.2g} ms."
        )
    elif confirmation.ensemble:
        kept = ", ".join(map(str, confirmation.ensemble))
        notes.append(f"The models of the seeds {kept} are kept as an ensemble.")
    head = [
        "trial",
        f"mean {confirmation.metric}",
        "95 % interval",
        "weights",
        "by fold" if folds else "by seed",
    ]
    tables = [Grid(head, confirmation_rows(confirmation))]
    if confirmation.selection:
        rows = [[str(m.trial), str(m.seed), str(m.votes)] for m in confirmation.selection.members]
        tables.append(Grid(["trial of a member", "seed", "votes"], rows))
    if confirmation.failed:
        rows = [[str(each.number), each.reason] for each in confirmation.failed]
        tables.append(Grid(["trial", "left out, since"], rows))
    if confirmation.test:
        rows = [[name, number(value)] for name, value in confirmation.test.items()]
        tables.append(Grid(["on the test split", "value"], rows))
    if confirmation.regions and confirmation.regions.levels:
        rows = [
            [f"{each.level:g}", number(each.coverage), number(each.size)]
            for each in confirmation.regions.levels
        ]
        tables.append(Grid(["interval on the test split", "holds the truth", "mean size"], rows))
    figures = [confirmation_figure(confirmation)] if confirmation.candidates else []
    return Section("confirmation", "Confirmation", notes, figures, tables)


def _history(record: SweepRecord, drawn: Selection) -> Section:
    if not record.rows:
        return Section("history", "Optimisation history", ["No trial was asked for yet."])
    figures = list(history_figures(record.board, drawn))
    notes = [
        f"Each point is a trial by the value of its best {record.board.unit}. The line is the"
        " best value of the finished trials so far"
        + (", of those that break no constraint." if record.constrained else "."),
        drawn.note("trials"),
        _folded(figures),
    ]
    return Section("history", "Optimisation history", notes, figures)


def _pareto(record: SweepRecord, drawn: Selection) -> Iterator[Section]:
    if len(record.board.metrics) < 2:
        return
    figures = pareto_figures(record.board, drawn.rows)
    size = sum(row.on_front for row in record.rows)
    notes = [
        f"{size} {'trial is' if size == 1 else 'trials are'} on the front: no other is better in"
        " every objective."
        if figures
        else "No trial has finished yet."
    ]
    yield Section("pareto", "Pareto front", [*notes, drawn.note("trials")], figures)


def _curves(record: SweepRecord) -> Section:
    best = best_trial(record)
    with_curves = [row for row in record.rows if row.curve]
    drawn = select(with_curves, CURVES, keep=[] if best is None else [best.number])
    figure = curves_figure(record.board, drawn, None if best is None else best.number)
    if figure is None:
        return Section("curves", "Learning curves", ["No trial has a value yet."])
    unit = record.board.unit
    long = any(len(row.curve) > EPOCHS for row in drawn.rows)
    notes = [
        drawn.note("curves"),
        f"Of curves longer than {EPOCHS} {unit}s every n-th {unit} is drawn." if long else "",
        _folded([figure]),
    ]
    return Section("curves", "Learning curves", notes, [figure])


def _importance(record: SweepRecord, importances: Sequence[Importance]) -> Section:
    if all(each.absent for each in importances):
        return Section("importance", "Importance", [importances[0].absent])
    notes = [
        "How much each parameter decides whether a finished trial is among the best tenth"
        " (PED-ANOVA); the shares add up to 100 %."
    ]
    figures = []
    for index, (metric, each) in enumerate(zip(record.board.metrics, importances, strict=True)):
        if each.absent:
            notes.append(f"For {metric} there is none. {each.absent}")
        else:
            figures.append(importance_figure(each.shares, metric, index))
    return Section("importance", "Importance", notes, figures)


def _parallel(record: SweepRecord, searched: Sequence[Searched]) -> Iterator[Section]:
    valued = [row for row in record.rows if row.state in {"COMPLETE", "PRUNED"}]
    drawn = select(valued, LINES, keep=[row.number for row in valued if row.on_front])
    figure = parallel_figure(record.board, drawn.rows, searched[:MOST_AXES])
    if figure is None:
        return
    notes = [
        "Each line is a trial that finished or was pruned, coloured by its rank among the drawn"
        f" ones by {record.board.metric}. A click on the legend hides a group, a double click"
        " shows it alone.",
        _first(MOST_AXES, searched),
        drawn.note("trials"),
    ]
    yield Section("parallel", "Parallel coordinates", notes, [figure])


def _slices(
    record: SweepRecord, drawn: Selection, searched: Sequence[Searched]
) -> Iterator[Section]:
    figures = slice_figures(record.board, drawn.rows, searched[:MOST_SLICES])
    if figures:
        notes = [
            f"{record.board.metric} by one parameter at a time, the most important first.",
            _first(MOST_SLICES, searched),
            drawn.note("trials"),
            _folded(figures),
        ]
        yield Section("slices", "Slices", notes, figures, small=True)


def _timings(record: SweepRecord) -> Section:
    figures = [progress_figure(record.rows)]
    if record.timings is None:
        notes = ["Where the workers' time went is shown once the sweep is over."]
        return Section("timings", "Timings", notes, [f for f in figures if f is not None])
    figures.insert(0, timings_figure(record.timings))
    grid = Grid(["what", "whose seconds", "how long", "share"], timing_rows(record.timings))
    return Section("timings", "Timings", [], [f for f in figures if f is not None], [grid])


def _config(record: SweepRecord) -> Iterator[Section]:
    if record.config is not None:
        text = yaml.safe_dump(without_secrets(record.config), sort_keys=False, allow_unicode=True)
        yield Section("config", "Config", text=text)


def _by_importance(searched: Sequence[Searched], shares: Mapping[str, float]) -> list[Searched]:
    return sorted(searched, key=lambda each: -shares.get(each.key, 0.0))


def _first(most: int, searched: Sequence[Searched]) -> str:
    if len(searched) <= most:
        return ""
    return f"The {most} most important of {len(searched)} parameters are shown."


def _folded(figures: Sequence[Figure]) -> str:
    return _FOLDED if any("range" in figure.layout.get("yaxis", {}) for figure in figures) else ""
