"""The live view of a sweep: a panel on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rayml.search.problem.trials import FinishedTrial, Progress
from rayml.search.results.wording import counted, params_text, unit_of, value_text

_HEARTBEAT = 10.0


class View(Protocol):
    """Shows where a sweep stands."""

    def update(self, progress: Progress) -> None:
        """Take in the latest state; its `finished` trials are new ones."""

    def close(self) -> None:
        """The sweep is over."""


def choose_view(metric: str, console: Console | None = None, done: int = 0) -> View:
    """A live panel on a terminal, plain lines where the output goes to a file or a pipe.

    Args:
        metric: name of what is optimised.
        console: where it is shown; None is standard output.
        done: trials that had finished when the sweep was resumed.
    """
    console = console or Console()
    if console.is_terminal:
        return LiveView(metric, console)
    return PlainView(metric, console, done)


class LiveView:
    """A panel that changes in place, with one line above it for each note and each failure."""

    def __init__(self, metric: str, console: Console) -> None:
        self._metric = metric
        self._console = console
        self._noted: set[str] = set()
        self._failed: dict[str, int] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def update(self, progress: Progress) -> None:
        """Redraw."""
        # Not before: a sweep that is refused would leave a terminal without its cursor.
        self._live.start()
        for note in new_notes(progress, self._noted):
            self._console.print(Text(note, style="yellow"))
        for trial in progress.finished:
            if trial.state == "FAIL":
                self._console.print(Text(failure_line(trial, self._failed), style="red"))
        self._live.update(self._panel(progress), refresh=True)

    def close(self) -> None:
        """Remove the panel."""
        self._live.stop()

    def _panel(self, progress: Progress) -> RenderableType:
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            _bar(progress),
            f"{done_of(progress.done, progress.trials)} trials",
            left(progress),
            f"{clock(progress.elapsed)} gone",
        )
        best = Text(best_line(progress, self._metric), style="bold" if progress.best else "dim")
        return Group(bar, _colored(counts(progress)), best)


class PlainView:
    """A line for each note and each finished trial, and one now and then when there is none."""

    def __init__(self, metric: str, console: Console, done: int = 0) -> None:
        self._metric = metric
        self._console = console
        self._spoke = time.monotonic()
        self._done = done
        self._noted: set[str] = set()
        self._failed: dict[str, int] = {}

    def update(self, progress: Progress) -> None:
        """Write what is new."""
        for note in new_notes(progress, self._noted):
            self._say(note)
        unit = unit_of(progress.eval_steps)
        for trial in progress.finished:
            self._done += 1
            self._say(
                f"[{done_of(self._done, progress.trials)}]"
                f" {trial_line(trial, self._metric, self._failed, unit)}"
            )
        if time.monotonic() - self._spoke >= _HEARTBEAT:
            self._say(f"{counts(progress)}, {left(progress)}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(Text(line), soft_wrap=True)


def done_of(done: int, most: int | None) -> str:
    """How many of a budget are done, or how many are where there is none."""
    return f"{done}" if most is None else f"{done}/{most}"


def _bar(progress: Progress) -> ProgressBar:
    """How much of the trials is done, or without a budget of trials of the seconds."""
    if progress.trials is None and progress.seconds is not None:
        done = min(progress.elapsed, progress.seconds)
        return ProgressBar(total=progress.seconds, completed=done, width=40)
    return ProgressBar(total=progress.trials, completed=progress.done, width=40)


def new_notes(progress: Progress, shown: set[str]) -> list[str]:
    """The notes that were not shown yet, which count as shown from now on."""
    # By their text: a study whose process died and came back has forgotten the earlier ones.
    new = [note for note in progress.notes if note not in shown]
    shown.update(new)
    return new


def counts(progress: Progress) -> str:
    """Lanes that train, trials by state, and the pace."""
    since = progress.elapsed - (progress.first_epoch or progress.elapsed)
    unit = unit_of(progress.eval_steps)
    pace = f", {progress.epochs / since:.1f} {unit}s/s" if since > 0 else ""
    if since > 0 and progress.steps:
        pace += f", {progress.steps / since:,.0f} steps/s"
    restarts = f", {progress.restarts} restarted" if progress.restarts else ""
    budgets = ""
    if progress.epochs_budget is not None:
        budgets += f", {progress.epochs}/{progress.epochs_budget} {unit}s"
    if progress.cost_budget is not None:
        budgets += f", cost {progress.cost:.3g}/{progress.cost_budget:g}"
    structures = f", {counted(progress.structures, 'structure')}" if progress.structures else ""
    lanes = "1 lane" if progress.running == 1 else f"{progress.running} lanes"
    return (
        f"{lanes} alive, {progress.complete} finished, {progress.pruned} pruned,"
        f" {progress.failed} failed{restarts}{structures}{pace}{budgets}"
    )


def _colored(line: str) -> Text:
    """The counts, those that are not zero in the colour of their state."""
    text = Text(line)
    for state, style in (("finished", "green"), ("pruned", "yellow"), ("failed", "red")):
        text.highlight_regex(rf"\b[1-9]\d* {state}", style)
    return text


def left(progress: Progress) -> str:
    """Time left, in words."""
    seconds = progress.seconds_left
    if seconds is None:
        return "starting" if progress.first_epoch is None else "time left unknown"
    return f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """Seconds as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def best_line(progress: Progress, metric: str) -> str:
    """The best value so far and the parameters that gave it."""
    best = progress.best
    if best is None:
        return f"no {metric} yet"
    further = "".join(f", {each}" for each in _further(best, metric))
    of = f"trial {best.number}{further}"
    return f"best {metric} {best.value:.5g} ({of}): {params_text(best.params)}"


def trial_line(
    trial: FinishedTrial,
    metric: str,
    shown: dict[str, int] | None = None,
    unit: str = "epoch",
) -> str:
    """One finished trial; `shown` as in `failure_line`, `unit` what an epoch is called."""
    if trial.state == "FAIL":
        return failure_line(trial, shown)
    word = "finished" if trial.state == "COMPLETE" else "pruned"
    value = "" if trial.value is None else f", {metric} {trial.value:.5g}"
    value += "".join(f", {each}" for each in _further(trial, metric))
    epochs = counted(trial.epochs, unit)
    return f"trial {trial.number} {word} after {epochs}{value}: {params_text(trial.params)}"


def _further(trial: FinishedTrial, metric: str) -> list[str]:
    """Values of the further objectives, and the violation."""
    if trial.epoch is None:
        return []
    values = [f"{k} {value_text(v) or 'undefined'}" for k, v in trial.values.items() if k != metric]
    return values if trial.violation <= 0 else [*values, f"violation {value_text(trial.violation)}"]


def failure_line(trial: FinishedTrial, shown: dict[str, int] | None = None) -> str:
    """One failed trial, on one line.

    Args:
        trial: the failed one.
        shown: by reason the trial that it was shown of; this one is added. A long reason is
            shown once.
    """
    reason = " ".join(trial.reason.split())
    first = trial.number if shown is None else shown.setdefault(reason, trial.number)
    if first != trial.number:
        return f"trial {trial.number} failed as trial {first} did"
    return f"trial {trial.number} failed: {reason}"
