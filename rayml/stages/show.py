"""What the commands print for people."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayml.timing import Stopwatch

if TYPE_CHECKING:
    from rayml.data.prepare import PreparedDataset
    from rayml.registry.bundle import BundleInfo
    from rayml.registry.promotion import Decision
    from rayml.search.confirmation import Confirmation
    from rayml.search.report.leaderboard import Leaderboard

_WALL_CLOCK = ("first_epoch", "total")
_PIPE_WIDTH = 160  # a file or a pipe has no width of its own


def console() -> Console:
    """The console of standard output."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


def line(text: str) -> None:
    """Print a line at once, markup taken literally."""
    console().print(Text(text), soft_wrap=True)
    sys.stdout.flush()


def prepared(data: PreparedDataset) -> None:
    """Print the schema and the sizes of a prepared dataset."""
    head, *rows = (data.schema.head, *data.schema.rows())
    table = Table(title=f"{data.schema.sampled} rows looked at", title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)
    sizes = ", ".join(f"{rows} {split}" for split, rows in data.rows.items())
    origin = "reused" if data.reused else "prepared"
    line(f"{origin} {data.path}: {sizes} rows")
    if data.quarantine is not None:
        line(f"{data.quarantined} bad rows are in {data.quarantine}")


def leaderboard(board: Leaderboard, limit: int = 10) -> None:
    """Print the best trials."""
    from rayml.search.report.leaderboard import leaderboard_table

    console().print(leaderboard_table(board, limit))


def confirmed(found: Confirmation) -> None:
    """Print what the trials that were trained again are worth, and which of them wins."""
    table = Table(title=f"{len(found.seeds)} seeds each", title_justify="left")
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
    line(found.reason)
    if found.ensemble:
        line(f"an ensemble of its seeds {', '.join(map(str, found.ensemble))} is served")
    else:
        line(f"its seed {found.seed} is served")


def registered(info: BundleInfo, version: int, decision: Decision) -> None:
    """Print what a new version measures, and whether it became champion."""
    for split, metrics in info.metrics.items():
        shown = ", ".join(
            f"{name} {value:.4f}" for name, value in metrics.items() if value is not None
        )
        line(f"{info.name} version {version} on {split}: {shown}")
    line(f"{'promoted to' if decision.promote else 'not made'} champion: {decision.reason}")


def request(url: str, body: Mapping[str, Any], status: int, answer: bytes) -> None:
    """Print a request as the command that repeats it, and its answer."""
    data = shlex.quote(json.dumps(body))
    line(f"$ curl -s {url} -H 'content-type: application/json' -d {data}")
    line(f"HTTP {status}: {answer.decode().strip()}")


def timings(watch: Stopwatch, sweep: Mapping[str, float]) -> None:
    """Print where the seconds went.

    Args:
        watch: of the command.
        sweep: seconds of its sweep; `first_epoch` counts from the command.
    """
    parts = {name: seconds for name, seconds in sweep.items() if name not in _WALL_CLOCK}
    line("where the seconds went:")
    for name, seconds in watch.rows().items():
        shown = ", ".join(f"{part} {spent:.1f}" for part, spent in parts.items())
        line(f"  {name:<16}{seconds:7.1f}{f'  (workers: {shown})' if name == 'sweep' else ''}")
    line(f"the first epoch was trained {sweep['first_epoch']:.1f} s after the command")
