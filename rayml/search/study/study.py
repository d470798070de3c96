"""The study: the durable record of a sweep, and the one place where its trials are decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rayml.errors import StorageError
from rayml.search.cohort.plan import Opening
from rayml.search.journal.optuna_study import FIRST_EPOCH
from rayml.search.journal.study_journal import StudyJournal
from rayml.search.journal.trial_record import TrialRecord, in_order, read_trial
from rayml.search.problem.goals import Outcome, outcome
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import (
    AskedTrial,
    Curve,
    Ended,
    FinishedTrial,
    Progress,
    Report,
    Resumed,
    State,
    UnfinishedCohort,
)
from rayml.search.pruning.pruning import KEEP, PrunerOfFamilies, PruningDecision, build_pruner
from rayml.search.pruning.quota import Deal, Quota, deal_by
from rayml.search.results.wording import unit_of
from rayml.search.space.parameter import Params
from rayml.search.study.full_disk import Halt
from rayml.search.study.proposals import Proposals
from rayml.search.study.running_trials import RunningTrials
from rayml.search.study.totals import Totals
from rayml.search.study.turn_order import AnyOrder, TurnOrder


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
        order: of the cohorts that speak with it; None lets each speak at any time.

    Raises:
        SearchError: the journal exists, or it is to be resumed and cannot be.
    """

    def __init__(
        self, plan: StudyPlan, *, resume: bool = False, order: TurnOrder | None = None
    ) -> None:
        self._plan = plan
        self._sign = 1.0 if plan.goals.first.direction == "minimize" else -1.0
        self._journal = StudyJournal(plan, resume=resume)
        self._order = order or AnyOrder()
        self._halt = Halt()
        self._running = RunningTrials()
        self._pruner = PrunerOfFamilies(
            partial(build_pruner, plan.search.pruner, plan.max_epochs, unit_of(plan.eval_steps)),
            self._running.family,
        )
        self._cohorts = 0
        self._dealt: dict[int, tuple[Quota, bool]] = {}
        records = [read_trial(trial) for trial in self._journal.trials()]
        self._proposals = Proposals(plan, self._journal, records)
        first_epoch = self._journal.attributes.get(FIRST_EPOCH)
        self._totals = Totals(plan, trials=self._proposals.most, first_epoch=first_epoch)
        for record in in_order(records):
            self._recall(record)

    def ask(
        self,
        n: int = 1,
        fixed: Params | None = None,
        *,
        tune_trial: str | None = None,
        cohort: int | None = None,
        request: str = "",
        new: bool = False,
    ) -> list[AskedTrial]:
        """Propose trials that were not tried, fewer than asked for once there are no more.

        That is once a budget is spent, or all points of the space with the fixed values are tried.

        Args:
            n: trials wanted.
            fixed: values that all of them have.
            tune_trial: id of the Ray Tune trial that will train them.
            cohort: that they join; None makes each of them a cohort of its own.
            request: names this call; a repeated call, whose answer was lost, gives the same
                trials.
            new: the first one has a structure that no trial has, where there is one.
        """
        if self._halt.reason:
            return []
        with self._halt.on_full_disk():
            if held := self._running.requested(request):
                return held
            asked: list[AskedTrial] = []
            while len(asked) < n and self.has_more:
                joined = self._new_cohort() if cohort is None else cohort
                record = self._proposals.ask(
                    fixed or {},
                    new=new and not asked,
                    cohort=joined,
                    tune_trial=tune_trial,
                    request=request,
                )
                if record is None:
                    break
                self._running[record.number] = record
                asked.append(record.asked)
            self._journal.commit()
        if reason := self._proposals.exhausted:
            self.note(reason)
        return asked

    @property
    def has_more(self) -> bool:
        """Whether there are trials to ask for; once there are none, there never will be."""
        return (
            not self._halt.reason and self._proposals.has_more and not self._totals.reason_to_end()
        )

    def next_cohort(self, n: int = 1, *, tune_trial: str) -> tuple[int, list[AskedTrial]] | None:
        """The cohort that a Ray Tune trial trains: one that a dead driver left, or a new one.

        A call that is made again, because its answer was lost, gives the same trials.

        Args:
            n: trials of a new cohort.
            tune_trial: id of the Ray Tune trial.

        Returns:
            The cohort's number, which its checkpoint is kept under, and its trials: none once a
            budget is spent. None while it is another cohort's turn.
        """
        held = self._running.cohort_of(tune_trial, self._plan.session)
        if held is not None and not self._halt.reason:
            return held, self.lanes(held)
        if self._more_cohorts and not self._order.vacant:
            return None
        try:
            number, asked = self._give(n, tune_trial)
        except StorageError:
            return 0, []  # the driver asks for the reason once the sweep has ended
        if asked:  # a cohort without trials never ends a turn
            self._order.enter(number)
        return number, asked

    def opening(self, cohort: int) -> Opening:
        """What the worker of a cohort begins with; the same again for one that takes its place.

        A halted study has no trials.
        """
        trials = self.lanes(cohort)
        # A study whose process died has forgotten what it dealt.
        quota, known = self._dealt.get(cohort) or (self._deal().quota, self._knows(trials))
        return Opening(tuple(trials), quota, known)

    def classify(self, keys: Mapping[str, bool]) -> None:
        """Take in which searched keys the trials of a cohort share, as its worker found out."""
        with self._halt.on_full_disk():
            if self._proposals.structures.learn(keys):
                self._journal.structure(self._proposals.structures.keys)
                self._journal.commit()

    def orphans(self) -> tuple[UnfinishedCohort, ...]:
        """Unfinished cohorts that no worker of this session was given; a halted study has none."""
        return () if self._halt.reason else self._running.left_behind(self._plan.session)

    def lanes(self, cohort: int) -> list[AskedTrial]:
        """The trials of a cohort that have not ended, by number; a halted study has none."""
        found = [] if self._halt.reason else self._running.of_cohort(cohort)
        return [each.asked for each in found]

    def take_turn(self, cohort: int) -> bool:
        """Whether it is a cohort's turn; once it is, it stays so until `end_turn` or `leave`."""
        if not self._more_cohorts:
            self._order.close()
        return self._order.is_of(cohort)

    def end_turn(self, cohort: int) -> None:
        """Let the next cohort take its turn."""
        self._order.end(cohort)

    def leave(self, cohort: int) -> None:
        """Forget the turns of a cohort that has ended, and its quota."""
        self._dealt.pop(cohort, None)
        self._order.leave(cohort)

    def resumed(self) -> Resumed:
        """What was found in the journal, and what is left to do of it."""
        return Resumed(len(self._totals.finished), self.orphans(), len(self._journal.torn))

    def begin(self, begun: Sequence[tuple[int, int]]) -> list[bool]:
        """Record that a worker trains some trials; of each, from the second time on, a restart.

        Args:
            begun: number of each, and the epoch that its checkpoint had finished; 0 without one.

        Returns:
            Whether there is anything to train of each: False if the trial has ended.
        """
        with self._halt.on_full_disk():
            for number, epoch in begun:
                if number in self._running:
                    self._totals.restarts += self._running[number].begun
                    self._journal.begin(self._running[number], epoch)
            self._journal.commit()
        return [number in self._running for number, _ in begun]

    def report(self, reports: Sequence[Report]) -> list[PruningDecision]:
        """Record an epoch of each of some trials and decide which go on; in their order.

        Their epoch ends at one time, so each is judged beside all the others. An epoch that is
        reported again, after a restart, is recorded once and decided anew. A trial whose value
        is not finite fails.
        """
        with self._halt.on_full_disk():
            for each in reports:
                if each.number in self._running and math.isfinite(each.value):
                    self._pruner.seen(each.number, each.epoch, self._sign * each.value)
            decisions = [self._report(each) for each in reports]
            self._journal.commit()
        return decisions

    def tell(self, ended: Sequence[Ended]) -> list[FinishedTrial]:
        """Record the end of each of some trials; one that has ended already stays as it is.

        An objective that is not finite, or a constraint on something undefined, makes a COMPLETE
        trial FAIL.
        """
        with self._halt.on_full_disk():
            results = [
                self._end(self._running[each.number], each)
                for each in ended
                if each.number in self._running
            ]
            self._journal.commit()
        for record, result in results:
            self._finish(record, result)
        return [self._totals.known(each.number) for each in ended]

    def inherit(self, cohort: int, epoch: int, descents: Mapping[int, Mapping[str, Any]]) -> None:
        """Record which trials of a population went on as copies after an epoch.

        This replaces what was recorded of that epoch and of later ones: a cohort that went back
        to its checkpoint trains them again.

        Args:
            cohort: its number.
            epoch: that its trials have finished.
            descents: `Descent.to_json` of those that went on as copies, by number.
        """
        with self._halt.on_full_disk():
            for record in self._running.of_cohort(cohort):
                self._journal.inherit(record, epoch, descents.get(record.number))
            self._journal.commit()

    def descents(self, cohort: int) -> dict[int, list[Mapping[str, Any]]]:
        """What was recorded by `inherit` of the trials of a cohort that run, by number."""
        return {each.number: each.descents for each in self._running.of_cohort(cohort)}

    def note(self, text: str) -> None:
        """Keep a line for those that watch the sweep, who read it once."""
        if text not in self._totals.notes:
            self._totals.notes.append(text)

    def snapshot(self, since: int = 0) -> Progress:
        """Where the sweep stands.

        Args:
            since: finished trials that the caller has seen; the answer holds the later ones.
        """
        return self._totals.progress(len(self._running), since, self._proposals.looked)

    def curves(self, numbers: Sequence[int]) -> dict[int, Curve]:
        """What was measured after each epoch of some trials, by number."""
        metric = self._plan.goals.first.metric
        return {number: self._journal.curve(number, metric) for number in numbers}

    def halt(self, reason: str) -> None:
        """Propose and record nothing from now on, see `Halt`; the first reason stays."""
        self._halt.because(reason)

    def halted(self) -> str:
        """Why nothing is recorded any more; empty while something is."""
        return self._halt.reason

    def close(self) -> None:
        """Write and close the journal; trials that still run stay RUNNING in it."""
        with self._halt.on_full_disk():
            self._journal.close()

    @property
    def _more_cohorts(self) -> bool:
        """Whether there will be another cohort; once there is none, there never will be."""
        return self.has_more or bool(self.orphans())

    def _give(self, n: int, tune_trial: str) -> tuple[int, list[AskedTrial]]:
        with self._halt.on_full_disk():
            for left in self.orphans():
                for asked in left.trials:
                    record = self._running[asked.number]
                    self._journal.give(record, tune_trial, self._plan.session)
                self._journal.commit()
                return left.number, list(left.trials)
        number, dealt = self._new_cohort(), self._deal()
        given = self.ask(n, tune_trial=tune_trial, cohort=number, new=dealt.new)
        # Now, when it is the cohort's turn, as its worker may ask for it at any time.
        self._dealt[number] = dealt.quota, self._knows(given)
        return number, given

    def _knows(self, trials: Sequence[AskedTrial]) -> bool:
        return all(self._proposals.structures.knows(each.params) for each in trials)

    def _deal(self) -> Deal:
        return deal_by(self._plan.search, self._proposals.standing)

    def _new_cohort(self) -> int:
        self._cohorts += 1
        return self._cohorts - 1

    def _report(self, report: Report) -> PruningDecision:
        number, record = report.number, self._running.get(report.number)
        if record is None:
            state = self._totals.known(number).state
            return PruningDecision("prune", f"trial {number} is {state} already")
        if not math.isfinite(report.value):
            metric = self._plan.goals.first.metric
            reason = f"{metric} is {report.value} after epoch {report.epoch}"
            self._finish(*self._end(record, Ended(number, "FAIL", reason)))
            return PruningDecision("prune", reason)
        if report.epoch not in record.curve:
            self._totals.report(report)
            if self._totals.first_epoch is None:
                self._totals.first_epoch = self._totals.elapsed()
                self._journal.first_epoch(self._totals.first_epoch)
            self._journal.report(record, report)
        decision = self._pruner.decide(number, report.epoch, self._sign * report.value)
        if record.suggested is not None:
            # Whoever suggests it knows it to be good, which a slow start does not refute.
            decision = KEEP
        if decision == KEEP and (reason_to_end := self._totals.reason_to_end()):
            return PruningDecision("prune", reason_to_end)
        return decision

    def _end(self, record: TrialRecord, ended: Ended) -> tuple[TrialRecord, Outcome]:
        result = outcome(self._plan.goals, record.curve, record.metrics, ended.value)
        state: State = ended.state
        reason = ended.reason
        if state == "COMPLETE" and result.undefined:
            state, reason = "FAIL", result.undefined
        self._journal.end(record, state, result, reason=reason, elapsed=self._totals.elapsed())
        return record, result

    def _finish(self, record: TrialRecord, result: Outcome) -> None:
        assert record.state is not None
        if record.state == "COMPLETE":
            self._pruner.completed(record.number)
        kept = record.state != "FAIL"
        del self._running[record.number]
        self._totals.finish(
            FinishedTrial(
                record.number,
                record.params,
                record.state,
                result.value if kept else None,
                result.epoch if kept else None,
                len(record.curve),
                record.reason,
                result.values if kept else {},
                result.violation if kept else 0.0,
            )
        )

    def _recall(self, record: TrialRecord) -> None:
        """Take in a trial that an earlier process left."""
        self._running[record.number] = record
        self._cohorts = max(self._cohorts, record.cohort + 1)
        self._totals.recall(record)
        for step, value in record.curve.items():
            self._pruner.seen(record.number, step, self._sign * value)
        if record.state is not None:
            result = outcome(self._plan.goals, record.curve, record.metrics, record.value)
            self._finish(record, result)
