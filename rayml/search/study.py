"""The study: the durable record of a sweep, and the one place where its trials are decided."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import TrialState

from rayml.errors import SearchError
from rayml.search.draft import DraftStorage
from rayml.search.journal import SweepJournal
from rayml.search.opening import open_optuna
from rayml.search.parameter import Params, Scalar
from rayml.search.pruning import KEEP, Decision, build_policy
from rayml.search.replay import (
    COHORT,
    EPOCH,
    FIRST_EPOCH,
    REASON,
    REQUEST,
    RESTARTS,
    SESSION,
    SPENT,
    SUGGESTED,
    SUGGESTIONS,
    TUNE_TRIAL,
    Cohort,
    Record,
    Resumed,
    Spent,
    in_order,
    read_record,
    spent_value,
)
from rayml.search.roster import Running, cohort_of, lanes, left_behind, recalled, requested
from rayml.search.samplers import build_sampler, grid_points, points_left, seed_after
from rayml.search.study_plan import StudyPlan
from rayml.search.trials import AskedTrial, FinishedTrial, Progress, State


class Study:
    """An Optuna study on a journal, with tables beside it so that no call scans all trials.

    Any process can read the journal meanwhile (`optuna.load_study`, optuna-dashboard). A pruned
    trial is PRUNED there, with its curve; a failed one is FAIL, with its `reason` as a user
    attribute; the metrics of each epoch are system attributes, which a dashboard does not show
    as columns.

    Args:
        plan: of the study.
        resume: go on with the plan's journal, in place of a new one. What ended stays as it is;
            `next_cohort` gives out again what did not.

    Raises:
        SearchError: the journal exists, or it is to be resumed and cannot be.
    """

    def __init__(self, plan: StudyPlan, *, resume: bool = False) -> None:
        self._plan = plan
        self._sign = 1.0 if plan.direction == "minimize" else -1.0
        self._journal = SweepJournal(plan.journal, existing=resume)
        self._storage = DraftStorage(self._journal)
        try:
            self._optuna = open_optuna(
                self._storage,
                plan.name,
                plan.metric,
                plan.direction,
                resume=resume,
                suggestions=plan.history.suggestions,
            )
            self._journal.commit()
        except SearchError:
            self._journal.close()
            raise
        self._study_id = self._storage.get_study_id_from_name(plan.name)
        self._policy = build_policy(plan.pruner, plan.max_epochs)
        self._asked = 0
        self._cohorts = 0
        self._before = 0.0
        self._suggested: set[int] = set()
        self._running: dict[int, Running] = {}
        self._finished: dict[int, FinishedTrial] = {}
        self._counts: dict[State, int] = {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0}
        self._best: FinishedTrial | None = None
        self._best_rank = (True, math.inf)
        self._epochs = 0
        self._restarts = 0
        self._train_seconds = 0.0
        self._eval_seconds = 0.0
        self._restore()

    def ask(
        self,
        n: int = 1,
        fixed: Params | None = None,
        *,
        tune_trial: str | None = None,
        cohort: int | None = None,
        request: str = "",
    ) -> list[AskedTrial]:
        """Propose trials, fewer than asked for or none once a budget is spent.

        Args:
            n: trials wanted.
            fixed: values that all of them shall have.
            tune_trial: id of the Ray Tune trial that will train them.
            cohort: that they join; None makes each of them a cohort of its own.
            request: names this call; where it is made again, because its answer was lost, it
                gives the same trials.
        """
        if held := requested(self._running, request):
            return held
        asked: list[AskedTrial] = []
        while len(asked) < n and self._asked < self._trials and not self._clock_spent():
            joined = self._new_cohort() if cohort is None else cohort
            asked.append(self._ask_one(fixed or {}, joined, tune_trial, request))
        self._journal.commit()
        return asked

    def next_cohort(self, n: int = 1, *, tune_trial: str) -> tuple[int, list[AskedTrial]]:
        """The cohort that a Ray Tune trial shall train: one that a dead driver left, or a new one.

        A call that is made again, because its answer was lost, gives the same trials.

        Args:
            n: trials of a new cohort.
            tune_trial: id of the Ray Tune trial.

        Returns:
            The cohort's number, which its checkpoint is kept under, and its trials: none once a
            budget is spent.
        """
        held = cohort_of(self._running, tune_trial, self._plan.session)
        if held is not None:
            return held, self.lanes(held)
        for left in self.orphans():
            self._claim(left, tune_trial)
            return left.number, list(left.trials)
        number = self._new_cohort()
        return number, self.ask(n, tune_trial=tune_trial, cohort=number)

    def orphans(self) -> tuple[Cohort, ...]:
        """The cohorts that no worker of this session's driver was given, unfinished."""
        return left_behind(self._running, self._plan.session)

    def lanes(self, cohort: int) -> list[AskedTrial]:
        """The trials of a cohort that have not ended, by number."""
        return lanes(self._running, cohort)

    def resumed(self) -> Resumed:
        """What was found in the journal, and what is left to do of it."""
        return Resumed(len(self._finished), self.orphans(), len(self._journal.torn))

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
            running.restarts.append({"reported": len(running.curve), "checkpoint": epoch})
            self._storage.set_trial_user_attr(running.trial_id, RESTARTS, running.restarts)
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
            running.curve[step] = value
            # JSON has no NaN, which an undefined metric is.
            finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
            # Before the value: an epoch that has one in the journal has its metrics too.
            self._storage.set_trial_system_attr(running.trial_id, f"{EPOCH}{step}", finite)
            self._storage.set_trial_intermediate_value(running.trial_id, step, float(value))
            self._note_epoch(running, train_seconds, eval_seconds)
            self._journal.commit()
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
            self._storage.set_trial_user_attr(running.trial_id, REASON, reason)
        running.spent = replace(running.spent, elapsed=self._elapsed())
        self._storage.set_trial_system_attr(running.trial_id, SPENT, spent_value(running.spent))
        values = value if state == "COMPLETE" else None
        self._optuna.tell(number, values, state=TrialState[state])
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
            finished=tuple(later),
        )

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._journal.close()

    def _restore(self) -> None:
        """Fill the tables from the journal, and choose who proposes what comes next."""
        plan = self._plan
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        records = [read_record(trial) for trial in trials]
        attributes = self._storage.get_study_system_attrs(self._study_id)
        self._suggestions: list[Params] = attributes.get(SUGGESTIONS, [])
        self._first_epoch: float | None = attributes.get(FIRST_EPOCH)
        self._trials = plan.trials
        self._grid: deque[dict[str, Scalar]] | None = None
        if plan.sampler.name == "grid":
            points = grid_points(plan.space, plan.config, plan.seed)
            self._grid = deque(points_left(points, records))
            self._trials = min(plan.trials, len(records) + len(self._grid))
        for record in in_order(records):
            self._restore_trial(record)
        history = plan.history.over(plan.space, plan.config, trials)
        seed = seed_after(plan.sampler, plan.seed, len(records))
        self._optuna.sampler = build_sampler(plan.sampler, seed, history=history)

    def _restore_trial(self, record: Record) -> None:
        running = self._running[record.number] = recalled(record)
        self._asked += 1
        self._cohorts = max(self._cohorts, record.cohort + 1)
        self._restarts += len(record.restarts)
        self._epochs += len(record.curve)
        self._train_seconds += record.spent.train
        self._eval_seconds += record.spent.eval
        if record.suggested is not None:
            self._suggested.add(record.suggested)
        if record.session != self._plan.session:
            self._before = max(self._before, record.spent.elapsed)
        for step, value in record.curve.items():
            self._policy.decide(record.number, step, self._sign * value)
        if record.state == "COMPLETE":
            self._policy.completed(record.number)
        if record.state is not None:
            self._finish(record.number, running, record.state, record.value, record.reason)

    def _ask_one(
        self, fixed: Params, cohort: int, tune_trial: str | None, request: str
    ) -> AskedTrial:
        number, session = self._asked, self._plan.session
        suggested, values = self._suggestion(fixed)
        point = self._grid.popleft() if self._grid is not None else {}
        self._storage.begin_draft(number, {**values, **fixed, **point})
        params = self._plan.space.suggest(self._optuna.ask(), self._plan.config)
        system: dict[str, Any] = {COHORT: cohort, SESSION: session, REQUEST: request}
        trial_id = self._storage.publish(
            {} if tune_trial is None else {TUNE_TRIAL: tune_trial},
            {k: v for k, v in system.items() if v != ""}
            | ({} if suggested is None else {SUGGESTED: suggested}),
        )
        self._running[number] = Running(trial_id, params, cohort, session, tune_trial, request)
        self._asked += 1
        return AskedTrial(number, params)

    def _suggestion(self, fixed: Params) -> tuple[int | None, Params]:
        """The next good configuration of another sweep that has the fixed values."""
        for index, values in enumerate(self._suggestions):
            if index not in self._suggested and values.items() >= fixed.items():
                self._suggested.add(index)
                return index, values
        return None, {}

    def _claim(self, left: Cohort, tune_trial: str) -> None:
        for trial in left.trials:
            running = self._running[trial.number]
            running.session, running.tune_trial = self._plan.session, tune_trial
            self._storage.set_trial_user_attr(running.trial_id, TUNE_TRIAL, tune_trial)
            self._storage.set_trial_system_attr(running.trial_id, SESSION, running.session)
        self._journal.commit()

    def _new_cohort(self) -> int:
        self._cohorts += 1
        return self._cohorts - 1

    def _note_epoch(self, running: Running, train_seconds: float, eval_seconds: float) -> None:
        spent = running.spent
        running.spent = Spent(spent.train + train_seconds, spent.eval + eval_seconds)
        self._epochs += 1
        self._train_seconds += train_seconds
        self._eval_seconds += eval_seconds
        if self._first_epoch is None:
            self._first_epoch = self._elapsed()
            self._storage.set_study_system_attr(self._study_id, FIRST_EPOCH, self._first_epoch)

    def _finish(
        self, number: int, running: Running, state: State, value: float | None, reason: str
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
        return self._before + time.time() - self._plan.started

    def _clock_spent(self) -> bool:
        return self._plan.seconds is not None and self._elapsed() >= self._plan.seconds
