"""The live view of a sweep: a panel on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import ray
from ray.exceptions import RayError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rayml.search.parameter import Params
from rayml.search.trials import FinishedTrial, Progress

_INTERVAL = 0.25
_HEARTBEAT = 10.0


class View(Protocol):
    """Shows where a sweep stands."""

    def update(self, progress: Progress) -> None:
        """Take in the latest state; its `finished` trials are new ones."""

    def close(self) -> None:
        """The sweep is over."""


def choose_view(metric: str, console: Console | None = None) -> View:
    """A live panel on a terminal, plain lines where the output goes to a file or a pipe."""
    console = console or Console()
    return LiveView(metric, console) if console.is_terminal else PlainView(metric, console)


class LiveView:
    """A panel that changes in place, with one line above it for each failure."""

    def __init__(self, metric: str, console: Console) -> None:
        self._metric = metric
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def update(self, progress: Progress) -> None:
        """Redraw."""
        # Not before: a sweep that is refused would leave a terminal without its cursor.
        self._live.start()
        for trial in progress.finished:
            if trial.state == "FAIL":
                self._console.print(Text(failure_line(trial), style="red"))
        self._live.update(self._panel(progress), refresh=True)

    def close(self) -> None:
        """Remove the panel."""
        self._live.stop()

    def _panel(self, progress: Progress) -> RenderableType:
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=progress.trials, completed=progress.done, width=40),
            f"{progress.done}/{progress.trials} trials",
            f"{left(progress)}",
        )
        return Group(bar, Text(counts(progress)), escape(best_line(progress, self._metric)))


class PlainView:
    """A line for each finished trial, and one now and then when none finishes."""

    def __init__(self, metric: str, console: Console) -> None:
        self._metric = metric
        self._console = console
        self._spoke = time.monotonic()
        self._done = 0

    def update(self, progress: Progress) -> None:
        """Write what is new."""
        for trial in progress.finished:
            self._done += 1
            self._say(f"[{self._done}/{progress.trials}] {trial_line(trial, self._metric)}")
        if time.monotonic() - self._spoke >= _HEARTBEAT:
            self._say(f"{counts(progress)}, {left(progress)}")

    def close(self) -> None:
        """Nothing is left to write."""

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(Text(line), soft_wrap=True)


@contextmanager
def watching(study: Any, view: View | None) -> Iterator[None]:
    """Keep a view up to date from the study's actor, from a thread of its own."""
    if view is None:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(study, view, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        view.close()


def _watch(study: Any, view: View, over: threading.Event) -> None:
    seen = 0
    while True:
        last = over.wait(_INTERVAL)
        try:
            progress: Progress = ray.get(study.snapshot.remote(seen))
        except RayError:
            return  # the sweep itself tells that its study is lost
        seen += len(progress.finished)
        view.update(progress)
        if last:
            return


def counts(progress: Progress) -> str:
    """Trials by state, and the pace."""
    since = progress.elapsed - (progress.first_epoch or progress.elapsed)
    pace = f", {progress.epochs / since:.1f} epochs/s" if since > 0 else ""
    restarts = f", {progress.restarts} restarted" if progress.restarts else ""
    budgets = ""
    if progress.epochs_budget is not None:
        budgets += f", {progress.epochs}/{progress.epochs_budget} epochs"
    if progress.cost_budget is not None:
        budgets += f", cost {progress.cost:.3g}/{progress.cost_budget:g}"
    return (
        f"{progress.running} running, {progress.complete} finished, {progress.pruned} pruned,"
        f" {progress.failed} failed{restarts}{pace}{budgets}"
    )


def left(progress: Progress) -> str:
    """Time left, in words."""
    seconds = progress.seconds_left
    if seconds is None:
        return "starting" if progress.first_epoch is None else "time left unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{clock} left"


def best_line(progress: Progress, metric: str) -> str:
    """The best value so far and the parameters that gave it."""
    best = progress.best
    if best is None:
        return f"no {metric} yet"
    further = "".join(f", {each}" for each in _further(best, metric))
    of = f"trial {best.number}{further}"
    return f"best {metric} {best.value:.5g} ({of}): {params_text(best.params)}"


def trial_line(trial: FinishedTrial, metric: str) -> str:
    """One finished trial."""
    if trial.state == "FAIL":
        return failure_line(trial)
    word = "finished" if trial.state == "COMPLETE" else "pruned"
    value = "" if trial.value is None else f", {metric} {trial.value:.5g}"
    value += "".join(f", {each}" for each in _further(trial, metric))
    epochs = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
    return f"trial {trial.number} {word} after {epochs}{value}: {params_text(trial.params)}"


def value_text(value: float | None) -> str:
    """A value of an objective, short; a count keeps all its digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() and value else f"{value:.5g}"


def _further(trial: FinishedTrial, metric: str) -> list[str]:
    """What there is to say of a trial besides its first objective."""
    if trial.epoch is None:
        return []
    told = [f"{k} {value_text(v) or 'undefined'}" for k, v in trial.values.items() if k != metric]
    return told if trial.violation <= 0 else [*told, f"violation {value_text(trial.violation)}"]


def failure_line(trial: FinishedTrial) -> str:
    """One failed trial, on one line."""
    return f"trial {trial.number} failed: {' '.join(trial.reason.split())}"


def params_text(params: Params) -> str:
    """Parameters by the shortest part of their keys that tells them apart."""
    names = {key: _short(key, params) for key in params}
    return ", ".join(
        f"{names[key]}={value:.4g}" if isinstance(value, float) else f"{names[key]}={value}"
        for key, value in params.items()
    )


def _short(key: str, params: Params) -> str:
    leaf = key.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == leaf for other in params) == 1
    return leaf if alone else key
