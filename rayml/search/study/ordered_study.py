"""A study that cohorts speak with in turns, so that its trials do not depend on time."""

from __future__ import annotations

from rayml.search.problem.study_plan import StudyPlan
from rayml.search.problem.trials import AskedTrial
from rayml.search.study.population_study import PopulationStudy
from rayml.search.study.running_trials import cohort_of
from rayml.search.study.turn_order import Turns


class OrderedStudy(PopulationStudy):
    """A study with turns, where its plan has slots; without any it is as every other.

    What a sampler proposes and a pruner decides follows from the order in which trials are
    asked, reported and told. In turns that order is the same however long anything takes. The
    turns are not in the journal: after the death of the study's process, or of the driver, the
    sweep goes on in an order of its own.

    Args:
        plan: of the study; its slots are the cohorts that live at a time.
        resume: see `Study`.
    """

    def __init__(self, plan: StudyPlan, *, resume: bool = False) -> None:
        super().__init__(plan, resume=resume)
        self._turns = None if plan.slots is None else Turns(plan.slots)

    def offer(self, tune_trial: str) -> tuple[int, list[AskedTrial]] | None:
        """What `next_cohort` gives for a Ray Tune trial; None while it is another one's turn."""
        held = cohort_of(self._running, tune_trial, self._plan.session)
        if self._turns is None or held is not None or not self._more():
            return self.next_cohort(tune_trial=tune_trial)
        if not self._turns.vacant:
            return None
        number, asked = self.next_cohort(tune_trial=tune_trial)
        if asked:  # who has no trials never ends a turn
            self._turns.enter(number)
        return number, asked

    def take_turn(self, cohort: int) -> bool:
        """Whether it is a cohort's turn; once it is, it stays so until `end_turn` or `leave`."""
        if self._turns is None:
            return True
        if not self._more():
            self._turns.close()
        return self._turns.is_of(cohort)

    def end_turn(self, cohort: int) -> None:
        """Let the next one take its turn."""
        if self._turns is not None:
            self._turns.end(cohort)

    def leave(self, cohort: int) -> None:
        """Take note that a cohort will not speak any more."""
        if self._turns is not None:
            self._turns.leave(cohort)

    def _more(self) -> bool:
        """Whether there will be another cohort; once there is none, there never will be."""
        return self.has_more or bool(self.orphans())
