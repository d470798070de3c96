"""The study: the durable record of a sweep, and the one place where its trials are decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rayml.search.journal.ledger import Ledger
from rayml.search.journal.replay import (
    FIRST_EPOCH,
    SUGGESTIONS,
    Cohort,
    Record,
    Resumed,
    Spent,
    in_order,
    read_record,
)
from rayml.search.problem.goals import Outcome, outcome
from rayml.search.problem.parameter import Params
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import (
    AskedTrial,
    Curve,
    Ended,
    FinishedTrial,
    Progress,
    Report,
    State,
)
from rayml.search.pruning.pruning import KEEP, Decision, build_policy
from rayml.search.sampling.samplers import build_sampler, grid_points, points_left, seed_after
from rayml.search.study.expenses import Expenses
from rayml.search.study.running_trials import (
    Running,
    cohort_of,
    lanes,
    left_behind,
    recalled,
    requested,
)
from rayml.search.study.suggestions import Agenda
from rayml.search.study.totals import Tally
from rayml.tasks.objectives import TRAIN_SECONDS


class Study:
    """An Optuna study on a journal, with tables beside it so that no call scans all trials.

    Any process can read the journal meanwhile (`optuna.load_study`, optuna-dashboard). A pruned
    trial is PRUNED there, with its curve; a failed one is FAIL, with its `reason` as a user
    attribute; the metrics of each epoch are system attributes, which a dashboard does not show
    as columns. A curve is that of the first objective, which also chooses the epoch whose values
    count.

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
        self._goals = plan.goals
        self._ledger = Ledger(plan, resume=resume)
        self._policy = build_policy(plan.pruner, plan.max_epochs)
        self._asked = 0
        self._cohorts = 0
        self._running: dict[int, Running] = {}
        self._tally = Tally(self._goals.directions)
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
        while len(asked) < n and self.has_more:
            joined = self._new_cohort() if cohort is None else cohort
            asked.append(self._ask_one(fixed or {}, joined, tune_trial, request))
        self._ledger.commit()
        return asked

    @property
    def has_more(self) -> bool:
        """Whether there are trials to ask for; once there are none, there never will be."""
        return self._asked < self._expenses.budget.trials and not self._expenses.reason_to_end()

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
        return Resumed(len(self._tally.finished), self.orphans(), len(self._ledger.torn))

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
            self._tally.restarts += 1
            running.restarts.append({"reported": len(running.curve), "checkpoint": epoch})
            self._ledger.restarted(running.trial_id, running.restarts)
            self._ledger.commit()
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
            steps: of the optimizer.
        """
        running = self._running.get(number)
        if running is None:
            return Decision("prune", f"trial {number} is {self._tally.known(number).state} already")
        if not math.isfinite(value):
            self.tell(number, "FAIL", reason=f"{self._plan.metric} is {value} after epoch {step}")
            return Decision("prune", self._tally.known(number).reason)
        if step not in running.curve:
            self._note_epoch(running, train_seconds, eval_seconds, steps)
            measured = {**metrics, TRAIN_SECONDS: running.spent.train}
            self._record(running, step, value, measured)
        decision = self._policy.decide(number, step, self._sign * value)
        if decision == KEEP and (reason := self._expenses.reason_to_end()):
            return Decision("prune", reason)
        return decision

    def report_all(self, reports: Sequence[Report]) -> list[Decision]:
        """Record an epoch of each of some trials, see `report`; the decisions in their order.

        Their epoch ends at one time, so each is judged beside all the others.
        """
        for each in reports:
            if each.number in self._running and math.isfinite(each.value):
                self._policy.seen(each.number, each.epoch, self._sign * each.value)
        return [
            self.report(
                each.number,
                each.epoch,
                each.value,
                each.metrics,
                train_seconds=each.train_seconds,
                eval_seconds=each.eval_seconds,
                steps=each.steps,
            )
            for each in reports
        ]

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
            return self._tally.known(number)
        result = outcome(self._goals, running.curve, running.metrics, value)
        if state == "COMPLETE" and result.undefined:
            state, reason = "FAIL", result.undefined
        running.spent = replace(running.spent, elapsed=self._expenses.elapsed())
        self._ledger.end(
            number, running.trial_id, state, result, reason=reason, spent=running.spent
        )
        self._ledger.commit()
        if state == "COMPLETE":
            self._policy.completed(number)
        return self._finish(number, running, state, result, reason)

    def tell_all(self, ended: Sequence[Ended]) -> None:
        """Record the end of each of some trials, see `tell`."""
        for each in ended:
            self.tell(each.number, each.state, reason=each.reason)

    def begin_all(self, begun: Sequence[tuple[int, int]]) -> None:
        """Take note that a worker trains some trials: number and epoch of each, see `begin`."""
        for number, epoch in begun:
            self.begin(number, epoch)

    def note(self, text: str) -> None:
        """Take in something that whoever watches the sweep shall read once."""
        if text not in self._tally.notes:
            self._tally.notes.append(text)

    def snapshot(self, since: int = 0) -> Progress:
        """Where the sweep stands.

        Args:
            since: how many finished trials the caller has seen; the later ones are told.
        """
        return self._expenses.progress(len(self._running), since)

    def curves(self, numbers: Sequence[int]) -> dict[int, Curve]:
        """What was measured after each epoch of some trials, for those who keep it elsewhere.

        Args:
            numbers: of the trials.
        """
        return {number: self._ledger.curve(number, self._plan.metric) for number in numbers}

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        self._ledger.close()

    def _restore(self) -> None:
        """Fill the tables from the journal, and choose who proposes what comes next."""
        plan = self._plan
        trials, attributes = self._ledger.trials(), self._ledger.attributes
        records = [read_record(trial) for trial in trials]
        points = None
        if plan.sampler.name == "grid":
            points = points_left(grid_points(plan.space, plan.config, plan.seed), records)
        taken = [each.suggested for each in records if each.suggested is not None]
        self._agenda = Agenda(points, attributes.get(SUGGESTIONS, []), taken)
        possible = plan.trials if points is None else len(records) + len(points)
        self._expenses = Expenses(
            plan,
            self._tally,
            trials=min(plan.trials, possible),
            first_epoch=attributes.get(FIRST_EPOCH),
        )
        for record in in_order(records):
            self._restore_trial(record)
        history = plan.history.over(plan.space, plan.config, trials)
        seed = seed_after(plan.sampler, plan.seed, len(records), history=history)
        self._ledger.propose_by(build_sampler(plan.sampler, seed, history=history))

    def _restore_trial(self, record: Record) -> None:
        running = self._running[record.number] = recalled(record)
        self._asked += 1
        self._cohorts = max(self._cohorts, record.cohort + 1)
        self._tally.recall(record)
        self._expenses.recall(record)
        for step, value in record.curve.items():
            self._policy.seen(record.number, step, self._sign * value)
        if record.state == "COMPLETE":
            self._policy.completed(record.number)
        if record.state is not None:
            told = outcome(self._goals, running.curve, running.metrics, record.value)
            self._finish(record.number, running, record.state, told, record.reason)

    def _ask_one(
        self, fixed: Params, cohort: int, tune_trial: str | None, request: str
    ) -> AskedTrial:
        number, session = self._asked, self._plan.session
        suggested, values = self._agenda.next(fixed)
        trial_id, params = self._ledger.ask(
            number,
            values,
            lambda trial: self._plan.space.suggest(trial, self._plan.config),
            cohort=cohort,
            session=session,
            tune_trial=tune_trial,
            request=request,
            suggested=suggested,
        )
        self._running[number] = Running(trial_id, params, cohort, session, tune_trial, request)
        self._asked += 1
        return AskedTrial(number, params)

    def _claim(self, left: Cohort, tune_trial: str) -> None:
        for trial in left.trials:
            running = self._running[trial.number]
            running.session, running.tune_trial = self._plan.session, tune_trial
            self._ledger.give(running.trial_id, tune_trial, running.session)
        self._ledger.commit()

    def _new_cohort(self) -> int:
        self._cohorts += 1
        return self._cohorts - 1

    def _record(
        self, running: Running, step: int, value: float, metrics: Mapping[str, float]
    ) -> None:
        finite = self._ledger.epoch(running.trial_id, step, value, metrics)
        running.curve[step], running.metrics[step] = value, finite
        self._ledger.commit()

    def _note_epoch(
        self, running: Running, train_seconds: float, eval_seconds: float, steps: int
    ) -> None:
        before = running.spent
        running.spent = Spent(before.train + train_seconds, before.eval + eval_seconds)
        self._tally.epoch(train_seconds, eval_seconds, steps)
        if self._expenses.first_epoch is None:
            self._expenses.first_epoch = self._expenses.elapsed()
            self._ledger.first_epoch(self._expenses.first_epoch)

    def _finish(
        self, number: int, running: Running, state: State, result: Outcome, reason: str
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
        self._tally.finish(finished)
        return finished
