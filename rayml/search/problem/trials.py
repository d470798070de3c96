"""What passes between a study and those that train and watch its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rayml.search.problem.budget import Budget, Usage, seconds_left
from rayml.search.problem.ranking import Merit
from rayml.search.space.parameter import Params

State = Literal["COMPLETE", "PRUNED", "FAIL"]
# By epoch the metrics by name; None where one is undefined.
Curve: TypeAlias = Mapping[int, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """A trial to be trained: its number in the study and its searched values by dotted key."""

    number: int
    params: Params


@dataclass(frozen=True, slots=True)
class Report:
    """An epoch of a trial.

    Attributes:
        number: of the trial.
        epoch: from 1.
        value: of the first objective.
        metrics: all that was measured after the epoch.
        train_seconds: that the epoch trained; of a cohort the trial's share.
        eval_seconds: that its evaluation took; of a cohort the trial's share.
        steps: of the optimizer.
    """

    number: int
    epoch: int
    value: float
    metrics: Mapping[str, float]
    train_seconds: float
    eval_seconds: float
    steps: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a trial.

    Attributes:
        number: of the trial.
        state: COMPLETE needs an epoch or a value.
        reason: why it is PRUNED or FAIL.
        value: of the first objective; None takes that of the trial's best epoch.
    """

    number: int
    state: State
    reason: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedCohort:
    """Trials that train together and have not ended.

    Attributes:
        number: of the cohort.
        trials: by number.
        epochs: reported of each; the cohort's checkpoint may hold one less.
    """

    number: int
    trials: tuple[AskedTrial, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a study found in the journal that it went on with.

    Attributes:
        done: trials that had ended.
        cohorts: trials that had not.
        torn: bytes of an unfinished last line, which were cut off.
    """

    done: int
    cohorts: tuple[UnfinishedCohort, ...]
    torn: int


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that will not train any more.

    Attributes:
        number: in the study.
        params: its searched values.
        state: COMPLETE trained to its end, PRUNED was stopped, FAIL could not go on.
        value: of its best epoch by the first objective; None if it has none, or failed.
        epoch: its best epoch, from 1; None where there is no value.
        epochs: how many it finished.
        reason: why it was stopped or failed; empty for COMPLETE.
        values: of all objectives by name after its best epoch; None where undefined.
        violation: of the constraints then; 0 for a feasible trial.
    """

    number: int
    params: Params
    state: State
    value: float | None
    epoch: int | None
    epochs: int
    reason: str
    values: Mapping[str, float | None] = field(default_factory=dict)
    violation: float = 0.0

    @property
    def merit(self) -> Merit:
        """What its rank follows from."""
        return Merit(self.number, self.state, tuple(self.values.values()), self.violation)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        running: trials asked and not finished.
        complete: trials that trained to their end.
        pruned: trials stopped early.
        failed: trials that could not go on.
        restarts: times that a trial went on from its checkpoint in a new worker.
        trials: budget; None sets none.
        seconds: budget of wall-clock; None sets none.
        elapsed: seconds since the sweep started.
        first_epoch: of them until the first epoch was reported; None before.
        epochs: finished, over all trials.
        train_seconds: of training, added over the workers.
        eval_seconds: of evaluation, added over the workers.
        steps: of the optimizers, over all trials.
        notes: what the workers reported, in order.
        best: the best trial so far.
        finished: trials that finished since the caller last looked.
        epochs_budget: budget of epochs; None sets none.
        cost: of the workers' time so far.
        cost_budget: budget of cost; None sets none.
        structures: that trials have; 0 where nothing is known of structures.
        eval_steps: steps of what counts as an epoch; None where that is a pass.
    """

    running: int
    complete: int
    pruned: int
    failed: int
    restarts: int
    trials: int | None
    seconds: float | None
    elapsed: float
    first_epoch: float | None
    epochs: int
    train_seconds: float
    eval_seconds: float
    best: FinishedTrial | None
    steps: int = 0
    notes: tuple[str, ...] = ()
    finished: tuple[FinishedTrial, ...] = field(default=(), repr=False)
    epochs_budget: int | None = None
    cost: float = 0.0
    cost_budget: float | None = None
    structures: int = 0
    eval_steps: int | None = None

    @property
    def done(self) -> int:
        """Trials that finished in whatever state."""
        return self.complete + self.pruned + self.failed

    @property
    def seconds_left(self) -> float | None:
        """Time left by all budgets; None until there is a pace to go by."""
        budget = Budget(
            trials=self.trials,
            seconds=self.seconds,
            epochs=self.epochs_budget,
            cost=self.cost_budget,
        )
        usage = Usage(
            done=self.done,
            seconds=self.elapsed,
            epochs=self.epochs,
            cost=self.cost,
            first_epoch=self.first_epoch,
        )
        return seconds_left(budget, usage)
