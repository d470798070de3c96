"""The study: the durable record of a sweep, and the one place where its trials are decided."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import Trial, TrialState

from rayml.errors import SearchError
from rayml.models.objectives import TRAIN_SECONDS, Objective
from rayml.search.budget import Budget, Usage, spent
from rayml.search.goals import Goals, Outcome, outcome
from rayml.search.journal import SweepJournal, SweepStorage
from rayml.search.optuna_study import create_study, set_excesses
from rayml.search.parameter import Params, Scalar
from rayml.search.pruning import KEEP, Decision, build_policy
from rayml.search.ranking import Rank, rank
from rayml.search.samplers import build_sampler, grid_points
from rayml.search.space import Space
from rayml.search.trials import AskedTrial, FinishedTrial, Progress, State
from rayml.search_settings import BoundSettings
from rayml.types import Direction, PrunerSettings, SamplerSettings

REASON = "reason"
TUNE_TRIAL = "tune_trial"
RESTARTS = "restarts"
EPOCH = "epoch:"


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study needs to know.

    Attributes:
        name: of the sweep.
        journal: file that the study creates.
        space: what is searched.
        config: of a trial, for conditions on keys that are not searched.
        metric: name of what is optimised first.
        direction: of the metric.
        objectives: further ones.
        constraints: bounds by name of a quantity.
        trials: budget.
        seconds: wall-clock budget; None sets none.
        epochs: budget of epochs, summed over all trials; None sets none.
        cost: budget of the workers' time; None sets none.
        cost_per_second: of a busy worker.
        max_epochs: epochs of a trial that is never stopped.
        sampler: who proposes.
        pruner: who is stopped.
        seed: of the sampler.
        started: `time.time()` of the moment that the wall-clock counts from.
    """

    name: str
    journal: Path
    space: Space
    config: Mapping[str, Any]
    metric: str
    direction: Direction
    trials: int
    max_epochs: int
    started: float
    objectives: tuple[Objective, ...] = ()
    constraints: Mapping[str, BoundSettings] = field(default_factory=dict)
    seconds: float | None = None
    epochs: int | None = None
    cost: float | None = None
    cost_per_second: float = 0.0
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    seed: int = 0

    @property
    def goals(self) -> Goals:
        """What the study seeks."""
        first = Objective(self.metric, self.direction)
        return Goals((first, *self.objectives), self.constraints)


@dataclass(slots=True)
class _Running:
    trial: Trial
    trial_id: int
    params: Params
    curve: dict[int, float] = field(default_factory=dict)
    metrics: dict[int, Mapping[str, float | None]] = field(default_factory=dict)
    train_seconds: float = 0.0
    begun: bool = False


class Study:
    """An Optuna study on a journal, with tables beside it so that no call scans all trials.

    Any process can read the journal meanwhile (`optuna.load_study`, optuna-dashboard). A pruned
    trial is PRUNED there, with its curve; a failed one is FAIL, with its `reason` as a user
    attribute; the metrics of each epoch are system attributes, which a dashboard does not show
    as columns. A curve is that of the first objective, which also chooses the epoch whose values
    count.

    Raises:
        SearchError: the journal exists.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._sign = 1.0 if plan.direction == "minimize" else -1.0
        self._journal = SweepJournal(plan.journal)
        self._storage = SweepStorage(self._journal)
        self._goals = plan.goals
        sampler = build_sampler(plan.sampler, plan.seed)
        self._optuna = create_study(plan.name, self._storage, self._goals, sampler)
        self._journal.commit()
        self._study_id = self._storage.get_study_id_from_name(plan.name)
        self._policy = build_policy(plan.pruner, plan.max_epochs)
        self._trials = plan.trials
        self._grid: list[dict[str, Scalar]] | None = None
        if plan.sampler.name == "grid":
            self._grid = grid_points(plan.space, plan.config, plan.seed)
            self._trials = min(plan.trials, len(self._grid))
        self._asked = 0
        self._running: dict[int, _Running] = {}
        self._finished: dict[int, FinishedTrial] = {}
        self._counts: dict[State, int] = {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0}
        self._best: FinishedTrial | None = None
        self._best_rank: Rank | None = None
        self._epochs = 0
        self._restarts = 0
        self._train_seconds = 0.0
        self._eval_seconds = 0.0
        self._first_epoch: float | None = None

    def ask(
        self, n: int = 1, fixed: Params | None = None, *, tune_trial: str | None = None
    ) -> list[AskedTrial]:
        """Propose trials, fewer than asked for or none once a budget is spent.

        Args:
            n: trials wanted.
            fixed: values that all of them shall have.
            tune_trial: id of the Ray Tune trial that will train them.
        """
        asked: list[AskedTrial] = []
        while len(asked) < n and self._asked < self._trials and not self._spent():
            point = self._grid[self._asked] if self._grid is not None else {}
            asked.append(self._ask_one({**(fixed or {}), **point}, tune_trial))
        self._journal.commit()
        return asked

    def begin(self, number: int, epoch: int) -> bool:
        """Take note that a worker trains a trial; from the second time on it is a restart.

        Args:
            number: of the trial.
            epoch: that its checkpoint had finished; 0 without one.

        Returns:
            Whether there is anything to train: False if the trial has ended.
        """
        running = self._running.get(number)
        if running is None:
            return False
        if running.begun:
            self._restarts += 1
            before = running.trial.user_attrs.get(RESTARTS, [])
            now = {"reported": len(running.curve), "checkpoint": epoch}
            running.trial.set_user_attr(RESTARTS, [*before, now])
            self._journal.commit()
        running.begun = True
        return True

    def report(
        self,
        number: int,
        step: int,
        value: float,
        metrics: Mapping[str, float],
        *,
        train_seconds: float = 0.0,
        eval_seconds: float = 0.0,
    ) -> Decision:
        """Record an epoch of a trial and decide whether it goes on.

        An epoch that is reported again, after a restart, is recorded once and decided anew.

        Args:
            number: of the trial.
            step: finished epochs, from 1.
            value: of the metric that is optimised; a trial with one that is not finite fails.
            metrics: all that was measured after the epoch.
            train_seconds: that the epoch trained.
            eval_seconds: that its evaluation took.
        """
        running = self._running.get(number)
        if running is None:
            return Decision("prune", f"trial {number} is {self._known(number).state} already")
        if not math.isfinite(value):
            self.tell(number, "FAIL", reason=f"{self._plan.metric} is {value} after epoch {step}")
            return Decision("prune", self._known(number).reason)
        if step not in running.curve:
            running.train_seconds += train_seconds
            measured = {**metrics, TRAIN_SECONDS: running.train_seconds}
            self._record(running, step, value, measured)
            self._epochs += 1
            self._train_seconds += train_seconds
            self._eval_seconds += eval_seconds
            if self._first_epoch is None:
                self._first_epoch = self._elapsed()
        decision = self._policy.decide(number, step, self._sign * value)
        if decision == KEEP and (reason := self._spent()):
            return Decision("prune", reason)
        return decision

    def tell(
        self, number: int, state: State, value: float | None = None, reason: str = ""
    ) -> FinishedTrial:
        """Record the end of a trial; one that has ended already stays as it is.

        Args:
            number: of the trial.
            state: COMPLETE needs an epoch or a value; an objective that is not finite, or a
                constraint on something undefined, makes it FAIL.
            value: of the first objective; None takes that of the trial's best epoch.
            reason: why it is PRUNED or FAIL.
        """
        running = self._running.get(number)
        if running is None:
            return self._known(number)
        result = outcome(self._goals, running.curve, running.metrics, value)
        if state == "COMPLETE" and result.undefined:
            state, reason = "FAIL", result.undefined
        if reason:
            running.trial.set_user_attr(REASON, reason)
        if state != "FAIL" and result.excesses:
            set_excesses(self._storage, running.trial_id, result.excesses)
        values = list(result.values.values()) if state == "COMPLETE" else None
        self._optuna.tell(running.trial, values, state=TrialState[state])  # type: ignore[arg-type]
        self._journal.commit()
        if state == "COMPLETE":
            self._policy.completed(number)
        return self._finish(number, running, state, result, reason)

    def snapshot(self, since: int = 0) -> Progress:
        """Where the sweep stands.

        Args:
            since: how many finished trials the caller has seen; the later ones are told.
        """
        later = list(self._finished.values())[since:] if since < len(self._finished) else []
        return Progress(
            running=len(self._running),
            complete=self._counts["COMPLETE"],
            pruned=self._counts["PRUNED"],
            failed=self._counts["FAIL"],
            restarts=self._restarts,
            trials=self._trials,
            seconds=self._plan.seconds,
            epochs_budget=self._plan.epochs,
            cost=self._cost(),
            cost_budget=self._plan.cost,
            elapsed=self._elapsed(),
            first_epoch=self._first_epoch,
            epochs=self._epochs,
            train_seconds=self._train_seconds,
            eval_seconds=self._eval_seconds,
            best=self._best,
            finished=tuple(later),
        )

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._journal.close()

    def _record(
        self, running: _Running, step: int, value: float, metrics: Mapping[str, float]
    ) -> None:
        # JSON has no NaN, which an undefined metric is.
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        running.curve[step], running.metrics[step] = value, finite
        # By the storage, since `Trial.report` refuses trials of several objectives. An epoch that
        # has a value in the journal has its metrics too.
        self._storage.set_trial_system_attr(running.trial_id, f"{EPOCH}{step}", finite)
        self._storage.set_trial_intermediate_value(running.trial_id, step, value)
        self._journal.commit()

    def _ask_one(self, fixed: Params, tune_trial: str | None) -> AskedTrial:
        if fixed:
            self._optuna.enqueue_trial(dict(fixed))
        trial = self._optuna.ask()
        params = self._plan.space.suggest(trial, self._plan.config)
        if tune_trial is not None:
            trial.set_user_attr(TUNE_TRIAL, tune_trial)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            self._study_id, trial.number
        )
        self._running[trial.number] = _Running(trial, trial_id, params)
        self._asked += 1
        return AskedTrial(trial.number, params)

    def _finish(
        self, number: int, running: _Running, state: State, result: Outcome, reason: str
    ) -> FinishedTrial:
        kept = state != "FAIL"
        finished = FinishedTrial(
            number,
            running.params,
            state,
            result.value if kept else None,
            result.epoch if kept else None,
            len(running.curve),
            reason,
            result.values if kept else {},
            result.violation if kept else 0.0,
        )
        del self._running[number]
        self._finished[number] = finished
        self._counts[state] += 1
        if finished.value is not None:
            self._keep_best(finished)
        return finished

    def _keep_best(self, trial: FinishedTrial) -> None:
        found = rank(trial.merit, self._goals.directions)
        if self._best_rank is None or found < self._best_rank:
            self._best, self._best_rank = trial, found

    def _known(self, number: int) -> FinishedTrial:
        if number not in self._finished:
            raise SearchError("a trial is asked before it is told", value=number)
        return self._finished[number]

    def _elapsed(self) -> float:
        return time.time() - self._plan.started

    def _cost(self) -> float:
        return self._plan.cost_per_second * (self._train_seconds + self._eval_seconds)

    def _spent(self) -> str | None:
        plan = self._plan
        budget = Budget(
            trials=self._trials, seconds=plan.seconds, epochs=plan.epochs, cost=plan.cost
        )
        done = len(self._finished)
        usage = Usage(done=done, seconds=self._elapsed(), epochs=self._epochs, cost=self._cost())
        return spent(budget, usage)
