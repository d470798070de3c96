"""Prints the results of commands for people."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayml.timing import Stopwatch

if TYPE_CHECKING:
    from rayml.data.advice.advice import Advice
    from rayml.data.prepare.prepare import PreparedDataset
    from rayml.registry.bundle.info import BundleInfo
    from rayml.registry.bundle.intervals import Intervals
    from rayml.registry.promotion import PromotionDecision
    from rayml.registry.release import Release
    from rayml.search.results.confirmation import Confirmation, Selection
    from rayml.search.results.leaderboard import Leaderboard
    from rayml.serve.release.counters import Counts
    from rayml.serve.release.status import ReplicaStatus
    from rayml.tasks.decisions.rule import DecisionMetric
    from rayml.types import TargetInfo

_WALL_CLOCK = ("first_epoch", "total")
_ADVICE = 12  # lines at most
_COLUMNS = 100  # of a schema that are shown
_PIPE_WIDTH = 160  # a file or a pipe has no width of its own


class _Patient(Console):
    """A console whose command continues after its reader ends, as with `| head`."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """The console of standard output."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _Patient(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


def line(text: str) -> None:
    """Print a line at once, markup taken literally."""
    console().print(Text(text), soft_wrap=True)
    sys.stdout.flush()


def aside(text: str) -> None:
    """Print a line to standard error, beside the output."""
    print(f"rayml: {text}", file=sys.stderr, flush=True)


def prepared(data: PreparedDataset) -> None:
    """Print the schema and the sizes of a prepared dataset."""
    head, *rows = (data.schema.head, *data.schema.rows())
    table = Table(title=f"schema of {data.schema.sampled} sampled rows", title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows[:_COLUMNS]:
        table.add_row(*map(Text, row))
    console().print(table)
    if len(rows) > _COLUMNS:
        line(f"and {len(rows) - _COLUMNS:,} more columns")
    sizes(data)
    if data.quarantine is not None:
        line(f"{data.quarantined} bad rows are in {data.quarantine}")
    advise(data.advice())


def sizes(data: PreparedDataset) -> None:
    """Print where a prepared dataset is, and its rows."""
    rows = ", ".join(f"{n} {split}" for split, n in data.rows.items() if n or not data.folds)
    origin = "reused" if data.reused else "prepared"
    line(f"{origin} {data.path}: {rows} rows")
    if data.folds:
        line(f"the training rows validate in turn, in {data.folds} folds")


def advise(advice: Sequence[Advice]) -> None:
    """Print the advice about data, before training."""
    for each in advice[:_ADVICE]:
        line(f"note: {each.text}")
    if len(advice) > _ADVICE:
        line(f"note: {len(advice) - _ADVICE} more notes are in the sweep's report")


def leaderboard(board: Leaderboard, limit: int = 10) -> None:
    """Print the best trials."""
    from rayml.search.results.leaderboard import leaderboard_table

    console().print(leaderboard_table(board, limit))


def confirmed(found: Confirmation) -> None:
    """Print the results of the confirmed trials, and the winner."""
    if len(found.seeds) > 1 or any(each.steps for each in found.candidates):
        _over_seeds(found)
    line(found.reason)
    if found.selection is not None:
        line(selected(found.selection, found.folds))
    elif found.ensemble:
        line(f"the model is an ensemble of its seeds {', '.join(map(str, found.ensemble))}")
    elif found.folds > 1:
        line(f"the model is an ensemble of the {found.folds} folds of its seed {found.seed}")
    else:
        line(f"the model is that of its seed {found.seed}")


def _over_seeds(found: Confirmation) -> None:
    from rayml.search.results.wording import counted

    folds = f" of {found.folds} folds" if found.folds > 1 else ""
    table = Table(title=f"{counted(len(found.seeds), 'seed')}{folds} each", title_justify="left")
    for name in ("trial", f"mean {found.metric}", "95 % interval", "weights", "steps"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in found.candidates:
        table.add_row(
            str(each.number),
            f"{each.mean:.5g}",
            f"{each.low:.5g} to {each.high:.5g}",
            f"{each.parameters:,}",
            f"{each.steps:,}",
            "winner" if each.number == found.winner else "",
        )
    console().print(table)


def selected(found: Selection, folds: int = 1) -> str:
    """The line that says what a selected ensemble is, and what it is better than."""
    models = Counter(each.trial for each in found.members)
    trials = f"trial{'' if len(models) == 1 else 's'} {', '.join(map(str, models))}"
    return (
        f"the model is an ensemble of {len(found.members)} of {found.pool} models"
        f"{f' of {folds} folds each' if folds > 1 else ''}, of {trials}:"
        f" {found.metric} {found.score:.5g} on validation rows that did not select it,"
        f" {found.alone:.5g} the winner's model alone"
    )


def registered(
    info: BundleInfo, version: int, target: TargetInfo, asked: DecisionMetric | None = None
) -> None:
    """Print the metrics of a new version, how it decides, and whether it became champion.

    Args:
        info: of its bundle.
        version: its number.
        target: that it predicts.
        asked: metric that a decision rule was to be chosen for.
    """
    from rayml.tasks.decisions.wording import rule_text

    for split, metrics in info.metrics.items():
        shown = ", ".join(
            f"{name} {value:.4f}" for name, value in metrics.items() if value is not None
        )
        line(f"{info.name} version {version} on {split}: {shown}")
    if info.temperature != 1:
        line(
            f"log-probabilities are divided by {info.temperature:.4g}, which lowers the log loss of"
            " validation rows and changes no label (confirm.calibrate)"
        )
    if info.decision_rule is not None:
        line(f"{rule_text(info.decision_rule, target)} (confirm.decide)")
    elif asked is not None:
        line(
            "the most probable class is answered, as no other rule gains more than chance in"
            f" {asked} on validation rows that did not set it (confirm.decide.metric)"
        )
    if info.decision is not None:
        line(f"version {version} {decided(info.decision)}")
        if info.decision.verdict == "not comparable" and not info.decision.promote:
            line(f"promote it all the same with `rayml promote {version} name={info.name}`")


def regions(found: Intervals | None, target: TargetInfo, version: int) -> None:
    """Print what the regions of a new version hold, and which groups share those of all rows."""
    from rayml.tasks.table import build_task

    kind = build_task(target).region
    if found is None:
        line(f"version {version} answers with no {kind}s (confirm.intervals.rows)")
        return
    size = "labels" if target.classes else "wide"
    shown = "; ".join(
        f"interval={each.level:g} holds {100 * each.coverage:.4g} % of the truths,"
        f" {each.size:.4g} {size}"
        for each in found.measured
    )
    if shown:
        line(f"version {version} {kind}s on test rows: {shown}")
    else:
        line(f"version {version} has too few calibration rows for {kind}s of 0.8, 0.9 or 0.95")
    if found.pooled:
        few = ", ".join(map(str, found.pooled[:12]))
        more = f" and {len(found.pooled) - 12} more" if len(found.pooled) > 12 else ""
        line(
            f"note: too few validation rows have a {found.group} of {few}{more}; their {kind}s are"
            " calibrated on the rows of all groups"
        )


def decided(decision: PromotionDecision) -> str:
    """Whether a version becomes champion, and why."""
    reason = decision.reason
    if decision.verdict == "not compared" and decision.promote:
        return f"is promoted {reason}"
    if decision.promote:
        return f"is promoted: {reason}"
    if decision.verdict == "not compared":
        return "is not promoted (registry.promote=never)"
    if decision.against is None:
        return f"is not promoted: {reason}"
    return f"is not promoted, version {decision.against} stays champion: {reason}"


def request(url: str, body: Mapping[str, Any], status: int, answer: bytes) -> None:
    """Print a request as the command that repeats it, and its answer."""
    data = shlex.quote(json.dumps(body))
    line(f"$ curl -s {url} -H 'content-type: application/json' -d {data}")
    line(f"HTTP {status}: {answer.decode().strip()}")


def release(
    name: str,
    served: Release,
    replicas: Sequence[ReplicaStatus],
    history: Sequence[Mapping[str, Any]],
    limit: int = 8,
) -> None:
    """Print the release of a model, the counters of each version, and the latest changes."""
    from rayml.serve.release.counters import total

    line(f"{name}: revision {served.revision}, {len(replicas)} replicas")
    heads = ("version", "role", "replicas", "requests", "failed", "p50 ms", "p99 ms", "loss", "")
    table = Table()
    for head in heads:
        table.add_column(head, justify="left" if head in {"role", ""} else "right")
    held = {number for each in replicas for number in each.versions}
    for version in sorted({*served.versions(), *held}, reverse=True):
        found = [each.versions[version] for each in replicas if version in each.versions]
        counts = total(each.counts for each in found)
        ready = sum(each.state == "ready" for each in found)
        loss = f"{counts.loss / counts.labels:.4f}" if counts.labels else ""
        notes = [each.reason for each in found if each.reason][:1]
        if counts.shadowed + counts.dropped + counts.shadow_failed:
            notes.append(_shadowed(counts))
        cells = (
            str(version),
            _role(served, version),
            f"{ready} of {len(replicas)}",
            str(counts.requests),
            str(counts.failed),
            *(_milliseconds(counts.quantile(share)) for share in (0.5, 0.99)),
            loss,
            "; ".join(notes),
        )
        table.add_row(*map(Text, cells))
    console().print(table)
    for each in replicas:
        if each.problem:
            line(f"{each.replica}: {each.problem}")
    for entry in history[-limit:]:
        subject = "" if entry["version"] is None else f" version {entry['version']}"
        line(f"{entry['time']}  {entry['action']}{subject}: {entry['reason']}")


def left_alone(name: str, replicas: Sequence[ReplicaStatus]) -> None:
    """Print the versions of replicas whose registry is gone."""
    serving = ", ".join(sorted({str(each.champion) for each in replicas}))
    line(f"{name}: not in the registry; {len(replicas)} replicas still serve version {serving}")
    for each in replicas:
        line(f"{each.replica}: {each.problem}")


def _role(served: Release, version: int) -> str:
    roles = []
    if version == served.champion:
        roles.append("champion")
    if served.canary and version == served.canary.version:
        key = f" by {served.canary.key}" if served.canary.key else ""
        roles.append(f"canary {served.canary.weight:g}{key}")
    if version == served.previous:
        roles.append("previous")
    if version == served.shadow:
        roles.append("shadow")
    return ", ".join(roles)


def _shadowed(counts: Counts) -> str:
    rows = max(counts.shadowed, 1)
    return (
        f"shadowed {counts.shadowed} rows, {100 * counts.changed / rows:.2f} % other labels, "
        f"mean difference {counts.difference / rows:.4g}, dropped {counts.dropped}, "
        f"failed {counts.shadow_failed}"
    )


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.1f}"


def timings(watch: Stopwatch, sweep: Mapping[str, float]) -> None:
    """Print the seconds of each stage.

    Args:
        watch: of the command.
        sweep: seconds of its sweep; `first_epoch` counts from the command.
    """
    parts = {name: seconds for name, seconds in sweep.items() if name not in _WALL_CLOCK}
    line("where the seconds went:")
    for name, seconds in watch.rows().items():
        shown = ", ".join(f"{part} {spent:.1f}" for part, spent in parts.items())
        line(f"  {name:<16}{seconds:7.1f}{f'  (workers: {shown})' if name == 'sweep' else ''}")
    line(f"the first epoch ended {sweep['first_epoch']:.1f} s after the command started")
