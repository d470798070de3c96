"""What a study proposes next: a suggestion, a point of a grid, or what its sampler chooses."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from rayml.search.journal.optuna_study import SUGGESTIONS
from rayml.search.journal.study_journal import StudyJournal
from rayml.search.journal.trial_record import TrialRecord
from rayml.search.problem.study_plan import StudyPlan
from rayml.search.sampling.samplers import build_sampler, grid_points, points_left
from rayml.search.space.parameter import Params, Scalar


class Proposals:
    """Asks for trials, those of an earlier process counted.

    Args:
        plan: of the study.
        journal: that the trials are written to.
        records: of the trials so far.

    Attributes:
        most: trials that can be asked for, those so far included; a grid may have fewer points
            than the budget allows.
    """

    def __init__(
        self, plan: StudyPlan, journal: StudyJournal, records: Sequence[TrialRecord]
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._asked = len(records)
        self._points: deque[dict[str, Scalar]] | None = None
        self.most = plan.search.trials
        if plan.search.sampler.kind == "grid":
            points = grid_points(plan.space, plan.trial, plan.seed)
            self._points = deque(points_left(points, (each.params for each in records)))
            self.most = min(self.most, len(records) + len(self._points))
        self._suggestions: Sequence[Params] = journal.attributes.get(SUGGESTIONS, [])
        self._taken = {each.suggested for each in records}
        history = plan.history.over(plan.space, plan.trial, journal.trials())
        journal.propose_by(
            build_sampler(plan.search.sampler, plan.seed, history=history, asked=self._asked)
        )

    @property
    def left(self) -> int:
        """Trials that can still be asked for."""
        return self.most - self._asked

    def ask(
        self, fixed: Params, *, cohort: int, tune_trial: str | None, request: str
    ) -> TrialRecord:
        """Write one more trial, by preference with the fixed values.

        Args:
            fixed: values by key.
            cohort: see `TrialRecord`.
            tune_trial: see `TrialRecord`.
            request: see `TrialRecord`.
        """
        suggested, values = self._suggestion(fixed)
        record = self._journal.ask(
            self._asked,
            {**values, **fixed, **self._point(fixed)},
            lambda trial: self._plan.space.suggest(trial, self._plan.trial),
            cohort=cohort,
            session=self._plan.session,
            tune_trial=tune_trial,
            request=request,
            suggested=suggested,
        )
        self._asked += 1
        return record

    def _suggestion(self, fixed: Params) -> tuple[int | None, Params]:
        """The first suggestion with the fixed values that no trial took, and its place."""
        for place, values in enumerate(self._suggestions):
            if place not in self._taken and values.items() >= fixed.items():
                self._taken.add(place)
                return place, values
        return None, {}

    def _point(self, fixed: Params) -> Mapping[str, Scalar]:
        """A point of the grid that is left; empty where a sampler proposes."""
        if self._points is None:
            return {}
        for place, point in enumerate(self._points):
            if point.items() >= fixed.items():
                del self._points[place]
                return point
        return self._points.popleft()
