"""What the study tells of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rayml.search.parameter import Params

State = Literal["COMPLETE", "PRUNED", "FAIL"]
# By epoch the metrics by name; None where one is undefined.
Curve: TypeAlias = Mapping[int, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """A trial to be trained: its number in the study and its searched values by dotted key."""

    number: int
    params: Params


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that will not train any more.

    Attributes:
        number: in the study.
        params: its searched values.
        state: COMPLETE trained to its end, PRUNED was stopped, FAIL could not go on.
        value: of its best epoch; None if it has none, or failed.
        epoch: its best epoch, from 1; None likewise.
        epochs: how many it finished.
        reason: why it was stopped or failed; empty for COMPLETE.
    """

    number: int
    params: Params
    state: State
    value: float | None
    epoch: int | None
    epochs: int
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        running: trials asked and not finished.
        complete: trials that trained to their end.
        pruned: trials stopped early.
        failed: trials that could not go on.
        restarts: times that a trial went on from its checkpoint in a new worker.
        trials: budget.
        seconds: budget of wall-clock; None sets none.
        elapsed: seconds since the sweep started.
        first_epoch: of them until the first epoch was reported; None before.
        epochs: finished, over all trials.
        train_seconds: of training, added over the workers.
        eval_seconds: of evaluation likewise.
        best: the best trial so far.
        steps: of training, over all trials; 0 where the workers do not tell.
        finished: trials that finished since the caller last looked.
    """

    running: int
    complete: int
    pruned: int
    failed: int
    restarts: int
    trials: int
    seconds: float | None
    elapsed: float
    first_epoch: float | None
    epochs: int
    train_seconds: float
    eval_seconds: float
    best: FinishedTrial | None
    steps: int = 0
    finished: tuple[FinishedTrial, ...] = field(default=(), repr=False)

    @property
    def done(self) -> int:
        """Trials that finished in whatever state."""
        return self.complete + self.pruned + self.failed

    @property
    def seconds_left(self) -> float | None:
        """Time left by both budgets; None until a trial has finished.

        Trials are taken to go on finishing as fast as they did since the first epoch.
        """
        clock = None if self.seconds is None else max(self.seconds - self.elapsed, 0.0)
        if not self.done or self.first_epoch is None:
            return clock
        pace = (self.elapsed - self.first_epoch) / self.done
        work = pace * max(self.trials - self.done, 0)
        return work if clock is None else min(work, clock)
