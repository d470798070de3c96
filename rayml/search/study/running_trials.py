"""The trials of a study that have not ended, by number."""

from __future__ import annotations

from collections.abc import Iterable

from rayml.search.journal.trial_record import TrialRecord
from rayml.search.problem.trials import AskedTrial, UnfinishedCohort
from rayml.train.families import family_of


class RunningTrials(dict[int, TrialRecord]):
    """Records of the trials that have not ended, and which cohort or call each belongs to."""

    def requested(self, request: str) -> list[AskedTrial]:
        """The trials that a call was given before; none for a call without a name."""
        return [each.asked for each in self.values() if request and each.request == request]

    def cohort_of(self, tune_trial: str, session: str) -> int | None:
        """The cohort that a Ray Tune trial of a session was given; None if it was given none."""
        return next(
            (
                each.cohort
                for each in self.values()
                if (each.tune_trial, each.session) == (tune_trial, session)
            ),
            None,
        )

    def family(self, number: int) -> str:
        """The family of models that a trial is of; empty where none is searched."""
        return family_of(self[number].params)

    def of_cohort(self, cohort: int) -> list[TrialRecord]:
        """The trials of a cohort, by number."""
        return [each for _, each in sorted(self.items()) if each.cohort == cohort]

    def left_behind(self, session: str) -> tuple[UnfinishedCohort, ...]:
        """The cohorts that were given to the driver of another session, by number."""
        left = [each for each in self.values() if each.session != session]
        return tuple(
            _unfinished(cohort, (each for each in left if each.cohort == cohort))
            for cohort in sorted({each.cohort for each in left})
        )


def _unfinished(cohort: int, records: Iterable[TrialRecord]) -> UnfinishedCohort:
    ordered = sorted(records, key=lambda each: each.number)
    return UnfinishedCohort(
        cohort,
        tuple(each.asked for each in ordered),
        tuple(len(each.curve) for each in ordered),
    )
