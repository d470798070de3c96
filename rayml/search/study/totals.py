"""What a study has spent of its budgets, and where it stands."""

from __future__ import annotations

import time
from dataclasses import replace

from rayml.errors import SearchError
from rayml.search.journal.trial_record import TrialRecord
from rayml.search.problem.budget import Usage, budget_of, cost_per_second, spent
from rayml.search.problem.ranking import Rank, rank
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import FinishedTrial, Progress, Report, State


class Totals:
    """Sums over a study's trials, kept as they come so that no call looks at all trials.

    The clock goes on from that of an earlier session, as far as the record of it goes.

    Args:
        plan: of the study.
        trials: that can be asked for at most; None sets no limit.
        first_epoch: seconds until the first epoch was reported; None before.

    Attributes:
        finished: trials that ended, by number, in the order in which they did.
        first_epoch: seconds until the first epoch was reported; None before.
        restarts: times that a trial went on in a new worker.
        notes: what the workers reported, each once.
    """

    def __init__(self, plan: StudyPlan, *, trials: int | None, first_epoch: float | None) -> None:
        self.finished: dict[int, FinishedTrial] = {}
        self.first_epoch = first_epoch
        self.restarts = 0
        self.notes: list[str] = []
        self._plan = plan
        self._budget = replace(budget_of(plan.search), trials=trials)
        self._eval_steps = plan.eval_steps
        self._price = cost_per_second(plan.search)
        self._counts: dict[State, int] = {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0}
        self._best: FinishedTrial | None = None
        self._best_rank: Rank | None = None
        self._epochs = self._steps = 0
        self._train_seconds = self._eval_seconds = 0.0
        self._before = 0.0

    def recall(self, record: TrialRecord) -> None:
        """Count what an earlier process recorded of a trial, but for its end."""
        self.restarts += len(record.restarts)
        self._epochs += len(record.curve)
        self._train_seconds += record.spent.train
        self._eval_seconds += record.spent.eval
        if record.session != self._plan.session:
            self._before = max(self._before, record.spent.elapsed)

    def report(self, report: Report) -> None:
        """Count an epoch of a trial."""
        self._epochs += 1
        self._steps += report.steps
        self._train_seconds += report.train_seconds
        self._eval_seconds += report.eval_seconds

    def finish(self, trial: FinishedTrial) -> None:
        """Count a trial that ended."""
        self.finished[trial.number] = trial
        self._counts[trial.state] += 1
        if trial.value is None:
            return
        found = rank(trial.merit, self._plan.goals.directions)
        if self._best_rank is None or found < self._best_rank:
            self._best, self._best_rank = trial, found

    def elapsed(self) -> float:
        """Seconds that the sweep has taken, over all of its sessions."""
        return self._before + time.time() - self._plan.started

    def reason_to_end(self) -> str | None:
        """Why the sweep ends at once, its running trials with it; None if it need not."""
        return spent(
            self._budget,
            Usage(
                done=len(self.finished),
                seconds=self.elapsed(),
                epochs=self._epochs,
                cost=self._price * (self._train_seconds + self._eval_seconds),
            ),
        )

    def known(self, number: int) -> FinishedTrial:
        """A trial that ended.

        Raises:
            SearchError: no trial of that number was asked.
        """
        if number not in self.finished:
            raise SearchError(f"no trial {number} was asked")
        return self.finished[number]

    def progress(self, running: int, since: int, structures: int = 0) -> Progress:
        """Where the sweep stands.

        Args:
            running: trials that have not ended.
            since: finished trials that the caller has seen; the answer holds the later ones.
            structures: that trials have.
        """
        budget, finished = self._budget, self.finished
        return Progress(
            running=running,
            complete=self._counts["COMPLETE"],
            pruned=self._counts["PRUNED"],
            failed=self._counts["FAIL"],
            restarts=self.restarts,
            trials=budget.trials,
            seconds=budget.seconds,
            epochs_budget=budget.epochs,
            cost=self._price * (self._train_seconds + self._eval_seconds),
            cost_budget=budget.cost,
            elapsed=self.elapsed(),
            first_epoch=self.first_epoch,
            epochs=self._epochs,
            train_seconds=self._train_seconds,
            eval_seconds=self._eval_seconds,
            steps=self._steps,
            notes=tuple(self.notes),
            best=self._best,
            structures=structures,
            eval_steps=self._eval_steps,
            # A caller asks several times a second, mostly for none.
            finished=tuple(finished.values())[since:] if since < len(finished) else (),
        )
