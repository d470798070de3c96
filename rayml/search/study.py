"""The study: the durable record of a sweep, and the one place where its trials are decided."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from rayml.errors import SearchError
from rayml.search.journal import SweepJournal, SweepStorage
from rayml.search.parameter import Params, Scalar
from rayml.search.pruning import KEEP, Decision, build_policy
from rayml.search.samplers import build_sampler, grid_points
from rayml.search.space import Space
from rayml.search.trials import AskedTrial, Curve, FinishedTrial, Progress, State
from rayml.types import Direction, PrunerSettings, SamplerSettings

REASON = "reason"
TUNE_TRIAL = "tune_trial"
RESTARTS = "restarts"
METRIC = "metric"
EPOCH = "epoch:"


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study needs to know.

    Attributes:
        name: of the sweep.
        journal: file that the study creates.
        space: what is searched.
        config: of a trial, for conditions on keys that are not searched.
        metric: name of what is optimised.
        direction: of the metric.
        trials: budget.
        seconds: wall-clock budget; None sets none.
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
    seconds: float | None = None
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    pruner: PrunerSettings = field(default_factory=PrunerSettings)
    seed: int = 0


@dataclass(slots=True)
class _Running:
    trial: Trial
    trial_id: int
    params: Params
    curve: dict[int, float] = field(default_factory=dict)
    begun: bool = False


class Study:
    """An Optuna study on a journal, with tables beside it so that no call scans all trials.

    Any process can read the journal meanwhile (`optuna.load_study`, optuna-dashboard). A pruned
    trial is PRUNED there, with its curve; a failed one is FAIL, with its `reason` as a user
    attribute; the metrics of each epoch are system attributes, which a dashboard does not show
    as columns.

    Raises:
        SearchError: the journal exists.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._sign = 1.0 if plan.direction == "minimize" else -1.0
        self._journal = SweepJournal(plan.journal)
        self._storage = SweepStorage(self._journal)
        self._optuna = optuna.create_study(
            study_name=plan.name,
            storage=self._storage,
            sampler=build_sampler(plan.sampler, plan.seed),
            direction=plan.direction,
        )
        self._optuna.set_user_attr(METRIC, plan.metric)
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
        self._best_rank = (True, math.inf)
        self._epochs = 0
        self._restarts = 0
        self._train_seconds = 0.0
        self._eval_seconds = 0.0
        self._steps = 0
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
        while len(asked) < n and self._asked < self._trials and not self._clock_spent():
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
        steps: int = 0,
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
            steps: that the epoch trained.
        """
        running = self._running.get(number)
        if running is None:
            return Decision("prune", f"trial {number} is {self._known(number).state} already")
        if not math.isfinite(value):
            self.tell(number, "FAIL", reason=f"{self._plan.metric} is {value} after epoch {step}")
            return Decision("prune", self._known(number).reason)
        if step not in running.curve:
            running.curve[step] = value
            running.trial.report(value, step)
            # JSON has no NaN, which an undefined metric is.
            finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
            self._storage.set_trial_system_attr(running.trial_id, f"{EPOCH}{step}", finite)
            self._journal.commit()
            self._epochs += 1
            self._train_seconds += train_seconds
            self._eval_seconds += eval_seconds
            self._steps += steps
            if self._first_epoch is None:
                self._first_epoch = self._elapsed()
        decision = self._policy.decide(number, step, self._sign * value)
        if decision == KEEP and self._clock_spent():
            return Decision("prune", f"the budget of {self._plan.seconds:g} seconds is spent")
        return decision

    def tell(
        self, number: int, state: State, value: float | None = None, reason: str = ""
    ) -> FinishedTrial:
        """Record the end of a trial; one that has ended already stays as it is.

        Args:
            number: of the trial.
            state: COMPLETE needs a value; one that is not finite makes it FAIL.
            value: of the trial's best epoch.
            reason: why it is PRUNED or FAIL.
        """
        running = self._running.get(number)
        if running is None:
            return self._known(number)
        if state == "COMPLETE" and (value is None or not math.isfinite(value)):
            state, reason = "FAIL", f"{self._plan.metric} is {value} at its end"
        if reason:
            running.trial.set_user_attr(REASON, reason)
        values = value if state == "COMPLETE" else None
        self._optuna.tell(running.trial, values, state=TrialState[state])
        self._journal.commit()
        if state == "COMPLETE":
            self._policy.completed(number)
        return self._finish(number, running, state, value, reason)

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
            elapsed=self._elapsed(),
            first_epoch=self._first_epoch,
            epochs=self._epochs,
            train_seconds=self._train_seconds,
            eval_seconds=self._eval_seconds,
            best=self._best,
            steps=self._steps,
            finished=tuple(later),
        )

    def curves(self, numbers: Sequence[int]) -> dict[int, Curve]:
        """What was measured after each epoch of some trials, for those who keep it elsewhere.

        Args:
            numbers: of the trials.
        """
        return {number: self._curve(number) for number in numbers}

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._journal.close()

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
        self, number: int, running: _Running, state: State, value: float | None, reason: str
    ) -> FinishedTrial:
        curve = running.curve if state != "FAIL" else {}
        epoch = min(curve, key=lambda step: (self._sign * curve[step], step), default=None)
        if state != "COMPLETE":
            value = None if epoch is None else curve[epoch]
        finished = FinishedTrial(
            number, running.params, state, value, epoch, len(running.curve), reason
        )
        del self._running[number]
        self._finished[number] = finished
        self._counts[state] += 1
        if value is not None:
            self._keep_best(finished, value)
        return finished

    def _curve(self, number: int) -> Curve:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        trial = self._storage.get_trial(trial_id)
        return {
            step: {**trial.system_attrs.get(f"{EPOCH}{step}", {}), self._plan.metric: value}
            for step, value in sorted(trial.intermediate_values.items())
        }

    def _keep_best(self, trial: FinishedTrial, value: float) -> None:
        # A stopped trial is the best only while none has completed.
        rank = (trial.state != "COMPLETE", self._sign * value)
        if rank < self._best_rank:
            self._best, self._best_rank = trial, rank

    def _known(self, number: int) -> FinishedTrial:
        if number not in self._finished:
            raise SearchError("a trial is asked before it is told", value=number)
        return self._finished[number]

    def _elapsed(self) -> float:
        return time.time() - self._plan.started

    def _clock_spent(self) -> bool:
        return self._plan.seconds is not None and self._elapsed() >= self._plan.seconds
