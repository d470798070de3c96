"""What a study has spent of its budgets, and where it stands by them."""

from __future__ import annotations

import time

from rayml.search.journal.replay import Record
from rayml.search.problem.budget import Budget, Usage, spent
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import Progress
from rayml.search.study.totals import Tally


class Expenses:
    """Holds what a study counts and what its clock says against its budgets.

    The clock goes on from that of an earlier session, as far as its record tells.

    Args:
        plan: of the study.
        tally: of its trials.
        trials: budget of them; a grid may have fewer points than the plan allows.
        first_epoch: seconds until the first epoch was reported; None before.
    """

    def __init__(
        self, plan: StudyPlan, tally: Tally, *, trials: int, first_epoch: float | None
    ) -> None:
        self.budget = Budget(
            trials=trials, seconds=plan.seconds, epochs=plan.epochs, cost=plan.cost
        )
        self.first_epoch = first_epoch
        self._plan = plan
        self._tally = tally
        self._before = 0.0

    def recall(self, record: Record) -> None:
        """Take in when a trial ended, if an earlier session saw it."""
        if record.session != self._plan.session:
            self._before = max(self._before, record.spent.elapsed)

    def elapsed(self) -> float:
        """Seconds that the sweep has taken, over all of its sessions."""
        return self._before + time.time() - self._plan.started

    def reason_to_end(self) -> str | None:
        """Why the sweep has to end at once, its running trials with it; None if it need not."""
        usage = Usage(
            done=len(self._tally.finished),
            seconds=self.elapsed(),
            epochs=self._tally.epochs,
            cost=self._cost(),
        )
        return spent(self.budget, usage)

    def progress(self, running: int, since: int) -> Progress:
        """Where the sweep stands.

        Args:
            running: trials that have not ended.
            since: how many finished trials the caller has seen; the later ones are told.
        """
        tally, budget = self._tally, self.budget
        return Progress(
            running=running,
            complete=tally.counts["COMPLETE"],
            pruned=tally.counts["PRUNED"],
            failed=tally.counts["FAIL"],
            restarts=tally.restarts,
            trials=budget.trials,
            seconds=budget.seconds,
            epochs_budget=budget.epochs,
            cost=self._cost(),
            cost_budget=budget.cost,
            elapsed=self.elapsed(),
            first_epoch=self.first_epoch,
            epochs=tally.epochs,
            train_seconds=tally.train_seconds,
            eval_seconds=tally.eval_seconds,
            steps=tally.steps,
            notes=tuple(tally.notes),
            best=tally.best,
            finished=tally.later(since),
        )

    def _cost(self) -> float:
        return self._plan.cost_per_second * self._tally.busy_seconds
